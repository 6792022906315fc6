{#- The texts of a group in one, in their order, separated by spaces. -#}
{% macro sorted_texts(column) -%}
    {{ return(adapter.dispatch('sorted_texts', 'kundresa')(column)) }}
{%- endmacro %}

{% macro duckdb__sorted_texts(column) -%}
    string_agg({{ column }}, ' ' order by {{ column }})
{%- endmacro %}

{% macro default__sorted_texts(column) -%}
    array_join(array_sort(collect_list({{ column }})), ' ')
{%- endmacro %}
