{#- A view is a table on Spark. Spark plans a view anew wherever it is read, and a model that reads another
twice, which reads a third twice, reads that four times: a decision took 20 s to plan for no rows. A view
over a CSV file is the whole file parsed on one core for each model and test that looks at it.

A model that grows with all history and is only ever read in part stays a view: meta is_view_on_spark. -#}
{% materialization view, adapter='spark' -%}
    {%- if config.get('meta', {}).get('is_view_on_spark') -%}
        {{ return(create_or_replace_view()) }}
    {%- else -%}
        {{ return(materialization_table_spark()) }}
    {%- endif -%}
{%- endmaterialization %}
