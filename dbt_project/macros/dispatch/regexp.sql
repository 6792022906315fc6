{#- The regular expression functions in which engines differ. `pattern` is what stands between the quotes of
an SQL literal of standard SQL (a quote is doubled, a backslash is not), in the syntax that RE2 and Java
share; a group in `replacement` is \1. Spark's half is in _java_pattern. -#}

{#- `value` with every match of `pattern` replaced. -#}
{% macro regexp_replace_all(value, pattern, replacement='') -%}
    {{ return(adapter.dispatch('regexp_replace_all', 'kundresa')(value, pattern, replacement)) }}
{%- endmacro %}

{% macro duckdb__regexp_replace_all(value, pattern, replacement) -%}
    regexp_replace({{ value }}, '{{ pattern }}', '{{ replacement }}', 'g')
{%- endmacro %}

{% macro default__regexp_replace_all(value, pattern, replacement) -%}
    regexp_replace({{ value }}, '{{ _java_pattern(pattern) }}', '{{ replacement | replace("\\", "$") }}')
{%- endmacro %}

{#- Whether `pattern` is found in `value`; anchor it to match the whole. -#}
{% macro regexp_found(value, pattern) -%}
    {{ return(adapter.dispatch('regexp_found', 'kundresa')(value, pattern)) }}
{%- endmacro %}

{% macro duckdb__regexp_found(value, pattern) -%}
    regexp_matches({{ value }}, '{{ pattern }}')
{%- endmacro %}

{% macro default__regexp_found(value, pattern) -%}
    regexp_like({{ value }}, '{{ _java_pattern(pattern) }}')
{%- endmacro %}

{#- The same pattern for Java, in a literal of Spark, where a backslash is an escape. Java's `$` also
matches before a line break at the end, RE2's does not: only \z is the end. Java's \s has the vertical tab,
RE2's has not; a class inside a class is a union in Java. -#}
{% macro _java_pattern(pattern) -%}
    {%- set end = pattern[:-1] ~ "\\z" if pattern.endswith("$") and not pattern.endswith("\\$") else pattern -%}
    {{ return(end | replace("\\s", "[ \\t\\n\\f\\r]") | replace("\\", "\\\\")) }}
{%- endmacro %}
