{#- Whether a table about the open runs has a row like this: asked before the query, so that a rule that no open run
knows costs nothing. Yes where nothing can be asked, as in a unit test: then the whole query is tested. -#}
{% macro open_runs_have(name, condition) -%}
    {%- set table = ref(name) -%}
    {%- if execute and flags.WHICH in ('run', 'build') and model.resource_type == 'model' -%}
        {%- set found = run_query('select count(*) from ' ~ table ~ ' where ' ~ condition) -%}
        {{ return(found.columns[0].values()[0] | int > 0) }}
    {%- endif -%}
    {{ return(true) }}
{%- endmacro %}
