{#- dbt-spark's own inserts the rows of a seed with a null as the text None and a quote as the end of a
literal. All columns of this project's seeds have a declared type, so that every value comes as text. -#}
{% macro spark__load_csv_rows(model, agate_table) %}
    {% set types = model['config'].get('column_types', {}) %}
    {% set statements = [] %}
    {% for rows in agate_table.rows | batch(1000) %}
        {% set statement %}
            insert into {{ this }} values
            {%- for row in rows %}
                (
                    {%- for value in row %}
                        {%- set type = types[agate_table.column_names[loop.index0]] -%}
                        cast({{ 'null' if value is none else literal(value) }} as {{ type }}){{ ', ' if not loop.last }}
                    {%- endfor -%}
                ){{ ', ' if not loop.last }}
            {%- endfor %}
        {% endset %}
        {% do adapter.add_query(statement, abridge_sql_log=True) %}
        {% do statements.append(statement) %}
    {% endfor %}
    {{ return(statements[0] if statements else '') }}
{% endmacro %}

{#- dbt-spark's own writes \' and leaves backslashes: a unit test's `\d` would lose its own. -#}
{% macro spark__escape_single_quotes(expression) -%}
    {{ expression | replace("\\", "\\\\") | replace("'", "''") }}
{%- endmacro %}
