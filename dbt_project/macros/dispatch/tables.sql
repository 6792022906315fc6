{#- Between `write_fast(true)` and `write_fast(false)` tables are written without compression: of ten million lines
of a decision the compressing took as long as deciding them. For tables that last for one pass. -#}
{% macro write_fast(is_on) -%}
    {{ return(adapter.dispatch('write_fast', 'kundresa')(is_on)) }}
{%- endmacro %}

{% macro duckdb__write_fast(is_on) -%}
    set force_compression = '{{ 'uncompressed' if is_on else 'auto' }}'
{%- endmacro %}

{% macro default__write_fast(is_on) -%}
{%- endmacro %}

{#- What names a row of a table within one query: `key` is what names it everywhere, by which `alias` is joined where the
engine has nothing shorter. DuckDB has the place of the row, and a join of ten million numbers takes a fifth of that
of texts. In a unit test a table is rows that have no place. -#}
{% macro row_key(alias, key) -%}
    {{ return(adapter.dispatch('row_key', 'kundresa')(alias, key)) }}
{%- endmacro %}

{% macro duckdb__row_key(alias, key) -%}
    {{ return(alias ~ '.rowid' if model.resource_type == 'model' else key) }}
{%- endmacro %}

{% macro default__row_key(alias, key) -%}
    {{ return(key) }}
{%- endmacro %}

{#- Another number for each row of a query, in no order. -#}
{% macro any_number() -%}
    {{ return(adapter.dispatch('any_number', 'kundresa')()) }}
{%- endmacro %}

{% macro duckdb__any_number() -%}
    row_number() over ()
{%- endmacro %}

{% macro default__any_number() -%}
    monotonically_increasing_id()
{%- endmacro %}
