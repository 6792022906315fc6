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
