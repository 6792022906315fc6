{#- The regular expression functions in which engines differ. Patterns keep to what RE2 and Java share. -#}

{#- `value` with every match of `pattern` replaced. -#}
{% macro regexp_replace_all(value, pattern, replacement='') -%}
    {{ return(adapter.dispatch('regexp_replace_all', 'kundresa')(value, pattern, replacement)) }}
{%- endmacro %}

{% macro default__regexp_replace_all(value, pattern, replacement) -%}
    regexp_replace({{ value }}, '{{ pattern }}', '{{ replacement }}')
{%- endmacro %}

{% macro duckdb__regexp_replace_all(value, pattern, replacement) -%}
    regexp_replace({{ value }}, '{{ pattern }}', '{{ replacement }}', 'g')
{%- endmacro %}

{#- Whether `pattern` is found in `value`; anchor it to match the whole. -#}
{% macro regexp_found(value, pattern) -%}
    {{ return(adapter.dispatch('regexp_found', 'kundresa')(value, pattern)) }}
{%- endmacro %}

{% macro default__regexp_found(value, pattern) -%}
    regexp_like({{ value }}, '{{ pattern }}')
{%- endmacro %}

{% macro duckdb__regexp_found(value, pattern) -%}
    regexp_matches({{ value }}, '{{ pattern }}')
{%- endmacro %}
