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

{#- `ctes`, and behind them the CTE `name`, which a model reads more than once. DuckDB computes it once by itself.
Spark copies a CTE wherever it is read, and what that one reads again below it: there it is a table beside the model's,
until forget_written. -#}
{% macro written_once(ctes, name, query) -%}
    {{ return(adapter.dispatch('written_once', 'kundresa')(ctes, name, query)) }}
{%- endmacro %}

{% macro duckdb__written_once(ctes, name, query) -%}
    {{ return(ctes ~ ',\n\n' ~ name ~ ' as (\n' ~ query ~ '\n)') }}
{%- endmacro %}

{% macro default__written_once(ctes, name, query) -%}
    {%- set written = query -%}
    {%- if execute and flags.WHICH in ('run', 'build') and model.resource_type == 'model' -%}
        {%- set table = _written(this, name) -%}
        {%- do run_query('drop table if exists ' ~ table) -%}
        {%- do run_query(create_table_of(table, 'with ' ~ ctes ~ ' ' ~ query)) -%}
        {%- set written = 'select * from ' ~ table -%}
    {%- endif -%}
    {{ return(duckdb__written_once(ctes, name, written)) }}
{%- endmacro %}

{#- For a post-hook: the tables that written_once made beside `relation` are gone. -#}
{% macro forget_written(relation, names) -%}
    {{ return(adapter.dispatch('forget_written', 'kundresa')(relation, names)) }}
{%- endmacro %}

{% macro duckdb__forget_written(relation, names) -%}
{%- endmacro %}

{% macro default__forget_written(relation, names) -%}
    {%- if execute -%}
        {%- for name in names -%}
            {%- do run_query('drop table if exists ' ~ _written(relation, name)) -%}
        {%- endfor -%}
    {%- endif -%}
{%- endmacro %}

{% macro _written(relation, name) -%}
    {{ return(relation.incorporate(path={'identifier': relation.identifier ~ '__' ~ name}, type='table')) }}
{%- endmacro %}
