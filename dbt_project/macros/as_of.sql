{#- The instant that "now" means in this build: a UTC timestamp literal, the same in every model.

`var('as_of')` freezes it (an ISO timestamp; one with an offset is converted to UTC). Without it, it
is the instant at which dbt was started, not current_timestamp: two models of one build must not
disagree about what day it is. -#}
{% macro as_of() -%}
    cast({{ as_of_text() }} as timestamp)
{%- endmacro %}

{#- The same as text, with microseconds. -#}
{% macro as_of_text() -%}
    {%- set given = var('as_of', none) -%}
    {%- if given is none -%}
        {%- set instant = run_started_at.astimezone(modules.pytz.utc) -%}
    {%- else -%}
        {%- set instant = modules.datetime.datetime.fromisoformat(given | string) -%}
        {%- if instant.tzinfo -%}
            {%- set instant = instant.astimezone(modules.pytz.utc) -%}
        {%- endif -%}
    {%- endif -%}
    '{{ instant.strftime("%Y-%m-%d %H:%M:%S.%f") }}'
{%- endmacro %}
