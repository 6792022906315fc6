{#- Publishing: what others read is copied to Parquet, so that no reader waits for a build or locks one out.

Each macro writes into a folder that nobody reads yet; `kundresa.warehouse` renames it into place. One
file per mart: DuckDB writes its row groups in parallel anyway, and readers prune by row group. -#}

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

{#- A text as an SQL literal. -#}
{% macro literal(text) -%}
    '{{ text | string | replace("'", "''") }}'
{%- endmacro %}

{#- Copy every public mart to <target_dir>/<mart>.parquet. -#}
{% macro publish_marts(target_dir) %}
    {% for node in published_marts() %}
        {% set path = target_dir ~ '/' ~ node.name ~ '.parquet' %}
        {% do run_query(copy_to_parquet('select * from ' ~ relation_of(node), path)) %}
    {% endfor %}
{% endmacro %}

{#- Let the marts of a publication stand where this target's own would be: what is decided is decided on
what passed the quality gate, and the build that writes the next publication is neither read nor locked. -#}
{% macro use_published(build_dir) %}
    {{ return(adapter.dispatch('use_published', 'kundresa')(build_dir)) }}
{% endmacro %}

{% macro duckdb__use_published(build_dir) %}
    {% for node in published_marts() %}
        {% set relation = relation_of(node) %}
        {% do adapter.create_schema(relation) %}
        {% do run_query(
            'create or replace view ' ~ relation ~ ' as select * from read_parquet('
            ~ literal(build_dir ~ '/' ~ node.name ~ '/*.parquet') ~ ', hive_partitioning = false)'
        ) %}
    {% endfor %}
{% endmacro %}
