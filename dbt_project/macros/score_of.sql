{#- The scores of `vars: scores`, a column each, over the columns of profiles. -#}
{% macro score_columns() -%}
    {%- for name, expression in var('scores').items() -%}
        cast(({{ expression }}) as double) as {{ name }}{{ ', ' if not loop.last }}
    {%- endfor -%}
{%- endmacro %}

{#- The value of the score that a column names, for the person of `scores`; null for no score. -#}
{% macro score_of(name, scores) -%}
    {%- if var('scores') -%}
        case {{ name }}
            {%- for each in var('scores') %}
            when '{{ each }}' then {{ scores }}.{{ each }}
            {%- endfor %}
        end
    {%- else -%}
        cast(null as double)
    {%- endif -%}
{%- endmacro %}
