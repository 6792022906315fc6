{#- Whole periods of 24 hours between two timestamps, rounded towards zero: 1 day 23 h is 1. (datediff
counts midnights: 23:00 to 01:00 would be 1.) -#}
{% macro days_between(earlier, later) -%}
    {{ return(adapter.dispatch('days_between', 'kundresa')(earlier, later)) }}
{%- endmacro %}

{% macro duckdb__days_between(earlier, later) -%}
    date_sub('day', {{ earlier }}, {{ later }})
{%- endmacro %}

{% macro default__days_between(earlier, later) -%}
    timestampdiff(day, {{ earlier }}, {{ later }})
{%- endmacro %}
