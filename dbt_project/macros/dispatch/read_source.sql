{#- A source table as the engine reads it.

A source with an `external_location` is files. They are read with the columns and types that the source's
definition declares, by name: a column that is missing, a value of another type, a broken quote or a short
line is an error that names the file, never a silent shift. A column that is not declared is ignored here;
the source gate reports it. Parquet files carry their own types.

Anything else (a table on a server engine, a unit test's rows) is used as it is. -#}
{% macro read_source(relation) -%}
    {{ return(adapter.dispatch('read_source', 'kundresa')(relation)) }}
{%- endmacro %}

{#- DuckDB's `columns=` would take the columns by position and not look at the header; `types=` matches
names. dbt-duckdb renders the relation of a source with an external location as that location. -#}
{% macro duckdb__read_source(relation) -%}
    {%- if not execute or not relation.external or '.parquet' in relation.external -%}
        {{ relation }}
    {%- else -%}
        read_csv(
            {{ relation }},
            header = true,
            delim = ',',
            quote = '"',
            escape = '"',
            strict_mode = true,
            types = {
                {%- for column in _source_of(relation).columns.values() %}
                '{{ column.name }}': '{{ column.data_type }}'{{ ',' if not loop.last }}
                {%- endfor %}
            }
        )
    {%- endif -%}
{%- endmacro %}

{#- Spark takes the columns of a CSV file from its header when it is given no types, as text. Its own cast
gives null for a value that does not parse (dbt-spark turns ANSI mode off), hence raise_error. Without
column pruning every line is counted out, also where a model reads two of its columns; fields with line
breaks need multiLine, which reads one file on one core. -#}
{% macro default__read_source(relation) -%}
    {%- set node = _source_of(relation) if execute else none -%}
    {%- set location = (node.config.meta or node.meta).get('external_location') if node else none -%}
    {%- if not location -%}
        {{ relation }}
    {%- elif location.endswith('.parquet') -%}
        parquet.`{{ location | replace('{name}', node.name) | replace('`', '``') }}`
    {%- else -%}
        {%- set path = location | replace('{name}', node.name) -%}
        (
            select
                {%- for column in node.columns.values() %}
                {{ _parsed(column, path) }} as {{ column.name }}{{ ',' if not loop.last }}
                {%- endfor %}
            from csv.`{{ path | replace('`', '``') }}` with (
                'header' = 'true',
                'multiLine' = 'true',
                'quote' = '"',
                'escape' = '"',
                'mode' = 'FAILFAST',
                'columnPruning' = 'false',
                'maxCharsPerColumn' = '-1'
            )
        )
    {%- endif -%}
{%- endmacro %}

{#- A text column of a CSV file in its declared type. An empty field is null, quoted or not. -#}
{% macro _parsed(column, path) -%}
    {%- set value = "nullif(" ~ column.name ~ ", '')" -%}
    {%- if column.data_type == 'string' -%}
        {{ value }}
    {%- else -%}
        case
            when {{ value }} is not null and try_cast({{ column.name }} as {{ column.data_type }}) is null
                then raise_error(concat(
                    {{ literal(path) }}, ': ', {{ column.name }}, {{ literal(' in column ' ~ column.name ~ ' is no ' ~ column.data_type) }}
                ))
            else try_cast({{ value }} as {{ column.data_type }})
        end
    {%- endif -%}
{%- endmacro %}

{#- The definition of a source by its relation; none for what is no source (a unit test's rows). -#}
{% macro _source_of(relation) -%}
    {%- for node in graph.sources.values() -%}
        {%- if node.schema == relation.schema and node.identifier == relation.identifier -%}
            {%- if not node.columns -%}
                {{ exceptions.raise_compiler_error('source ' ~ relation.identifier ~ ' declares no columns') }}
            {%- endif -%}
            {{ return(node) }}
        {%- endif -%}
    {%- endfor -%}
    {{ return(none) }}
{%- endmacro %}
