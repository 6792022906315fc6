{#- Of the rows that have a value in `column`, the value of the one whose `rank` is the largest. For use in
a query with a group by; ranks must differ within a group. -#}
{% macro value_of_largest(column, rank) -%}
    {{ return(adapter.dispatch('value_of_largest', 'kundresa')(column, rank)) }}
{%- endmacro %}

{% macro duckdb__value_of_largest(column, rank) -%}
    arg_max({{ column }}, {{ rank }}) filter (where {{ column }} is not null)
{%- endmacro %}

{% macro default__value_of_largest(column, rank) -%}
    max_by({{ column }}, {{ rank }}) filter (where {{ column }} is not null)
{%- endmacro %}
