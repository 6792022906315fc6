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

{#- A timestamp and a number of seconds (an expression; negative ones are before). -#}
{% macro seconds_after(timestamp, seconds) -%}
    {{ return(adapter.dispatch('seconds_after', 'kundresa')(timestamp, seconds)) }}
{%- endmacro %}

{% macro duckdb__seconds_after(timestamp, seconds) -%}
    {{ timestamp }} + to_seconds({{ seconds }})
{%- endmacro %}

{% macro default__seconds_after(timestamp, seconds) -%}
    timestampadd(second, {{ seconds }}, {{ timestamp }})
{%- endmacro %}

{#- The hour of the day, 0 to 23, that a clock in `zone` (an IANA name that the seed time_zones has) shows at a
UTC timestamp. An hour that comes twice is one hour. -#}
{% macro local_hour(timestamp, zone) -%}
    {{ return(adapter.dispatch('local_hour', 'kundresa')(timestamp, zone)) }}
{%- endmacro %}

{% macro duckdb__local_hour(timestamp, zone) -%}
    cast(hour(timezone({{ zone }}, timezone('UTC', {{ timestamp }}))) as integer)
{%- endmacro %}

{% macro default__local_hour(timestamp, zone) -%}
    cast(hour(from_utc_timestamp({{ timestamp }}, {{ zone }})) as integer)
{%- endmacro %}
