{#- A text as an SQL literal. -#}
{% macro literal(text) -%}
    {{ return(adapter.dispatch('literal', 'kundresa')(text)) }}
{%- endmacro %}

{% macro duckdb__literal(text) -%}
    {{ return("'" ~ (text | string | replace("'", "''")) ~ "'") }}
{%- endmacro %}

{#- A backslash is an escape in Spark's literals. -#}
{% macro default__literal(text) -%}
    {{ return("'" ~ (text | string | replace("\\", "\\\\") | replace("'", "''")) ~ "'") }}
{%- endmacro %}
