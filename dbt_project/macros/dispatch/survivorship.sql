{#- Of a profile's records, the value of `column` that counts: of those that have one, the record
updated last; the CRM before the shop before orders on a tie, then the smallest record. For use in a
query over int_profiles__records, grouped by profile_id. -#}
{% macro latest_value(column) -%}
    {{ return(adapter.dispatch('latest_value', 'kundresa')(column)) }}
{%- endmacro %}

{% macro duckdb__latest_value(column) -%}
    arg_max({{ column }}, trust_rank) filter (where {{ column }} is not null)
{%- endmacro %}

{% macro default__latest_value(column) -%}
    max_by({{ column }}, trust_rank) filter (where {{ column }} is not null)
{%- endmacro %}
