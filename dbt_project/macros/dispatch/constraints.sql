{#- not_null constraints of a contract, where the engine's tables have none: the same error, from a query after
the model is written. dbt_project.yml has hold_constraints behind every model. -#}
{% macro hold_constraints(relation) -%}
    {{ return(adapter.dispatch('hold_constraints', 'kundresa')(relation)) }}
{%- endmacro %}

{% macro duckdb__hold_constraints(relation) -%}
{%- endmacro %}

{% macro default__hold_constraints(relation) -%}
    {%- if execute and config.get('contract').enforced -%}
        {%- set required = [] -%}
        {%- for column in model.columns.values() -%}
            {%- if column.constraints | selectattr('type', 'equalto', 'not_null') | list -%}
                {%- do required.append(column.name) -%}
            {%- endif -%}
        {%- endfor -%}
        {%- if required -%}
            {%- set counted = run_query(
                'select count(*) from ' ~ relation ~ ' where ' ~ required | join(' is null or ') ~ ' is null'
            ) -%}
            {%- set found = counted.columns[0].values()[0] -%}
            {%- if found > 0 -%}
                {{ exceptions.raise_compiler_error(
                    relation.identifier ~ ': ' ~ found ~ ' rows have no value in one of ' ~ required | join(', ')
                ) }}
            {%- endif -%}
        {%- endif -%}
    {%- endif -%}
{%- endmacro %}

{#- dbt-spark's own takes every table for Delta and alters its columns, which Parquet tables refuse. -#}
{% macro spark__persist_constraints(relation, model) %}
{% endmacro %}
