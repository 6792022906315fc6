{#- Publishing: what others read is copied to Parquet, so that no reader waits for a build or locks one out.

Each macro writes into a folder that nobody reads yet; `kundresa.warehouse` renames it into place. One
file per mart on DuckDB, which writes its row groups in parallel anyway; readers prune by row group. -#}

{#- The public marts of the warehouse, as nodes, in the order of their names. -#}
{% macro published_marts() -%}
    {%- set marts = [] -%}
    {%- for node in graph.nodes.values() | sort(attribute='name') -%}
        {%- if node.resource_type == 'model' and node.access == 'public' and 'warehouse' in node.tags -%}
            {%- do marts.append(node) -%}
        {%- endif -%}
    {%- endfor -%}
    {{ return(marts) }}
{%- endmacro %}

{% macro relation_of(node) -%}
    {{ return(api.Relation.create(database=node.database, schema=node.schema, identifier=node.alias)) }}
{%- endmacro %}

{#- Copy every public mart to <target_dir>/<mart>.parquet. -#}
{% macro publish_marts(target_dir) %}
    {% for node in published_marts() %}
        {% set path = target_dir ~ '/' ~ node.name ~ '.parquet' %}
        {% do run_query(copy_to_parquet('select * from ' ~ relation_of(node), path, is_one_file=false)) %}
    {% endfor %}
{% endmacro %}

{#- Let the marts of a publication stand where this target's own would be: what is decided is decided on
what passed the quality gate, and the build that writes the next publication is neither read nor locked.
`marts` are those that it has: one of before a mart was added, in an installation that has been upgraded, is
without it, and who reads that mart gets an error. With `as_of` (UTC) they are as they were then. -#}
{% macro use_published(build_dir, marts, as_of=none) %}
    {% if as_of is not none %}
        {{ return(use_published_as_of(build_dir, 'cast(' ~ literal(as_of) ~ ' as timestamp)')) }}
    {% endif %}
    {% for node in published_marts() if node.name in marts %}
        {% set relation = relation_of(node) %}
        {% do adapter.create_schema(relation) %}
        {% do run_query(
            'create or replace view ' ~ relation ~ ' as select * from '
            ~ parquet_files(build_dir ~ '/' ~ node.name ~ '/*.parquet')
        ) %}
    {% endfor %}
{% endmacro %}
