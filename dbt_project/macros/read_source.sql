{#- A source table as the engine reads it.

On DuckDB a source with an external location is a CSV file. It is read with the columns and types
that its definition declares, by name: a column that is missing, a value of another type, a broken
quote or a short line is an error that names the file and the line, never a silent shift. (DuckDB's
`columns=` would take them by position and not look at the header; `types=` matches names.)
A column that is not declared is ignored here; the source gate reports it.

Anything else (a table on a server engine, a unit test's rows) is used as it is. -#}
{% macro read_source(relation) -%}
    {%- if not execute or not relation.external -%}
        {{ relation }}
    {%- else -%}
        {%- set found = namespace(columns=none) -%}
        {%- for node in graph.sources.values() -%}
            {%- if node.schema == relation.schema and node.identifier == relation.identifier -%}
                {%- set found.columns = node.columns.values() -%}
            {%- endif -%}
        {%- endfor -%}
        {%- if not found.columns -%}
            {{ exceptions.raise_compiler_error('source ' ~ relation.identifier ~ ' declares no columns') }}
        {%- endif -%}
        read_csv(
            {{ relation }},
            header = true,
            delim = ',',
            quote = '"',
            escape = '"',
            strict_mode = true,
            types = {
                {%- for column in found.columns %}
                '{{ column.name }}': '{{ column.data_type }}'{{ ',' if not loop.last }}
                {%- endfor %}
            }
        )
    {%- endif -%}
{%- endmacro %}
