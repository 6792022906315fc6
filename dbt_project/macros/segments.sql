{#- Fails the build when the variable `segments` and the folder models/segments disagree: a segment that
is forgotten in the list would stay without members, unnoticed. Gives nothing to the query. -#}
{% macro refuse_unlisted_segments() -%}
    {%- if execute -%}
        {%- set tagged = [] -%}
        {%- for node in graph.get('nodes', {}).values() -%}
            {%- if node.resource_type == 'model' and 'segments' in node.fqn and node.name != 'segment_memberships' -%}
                {%- do tagged.append(node.name) -%}
                {%- if 'segment' not in node.tags -%}
                    {{ exceptions.raise_compiler_error(
                        "models/segments/" ~ node.name ~ ".sql is not a segment yet: its first line must be "
                        ~ "{{ config(tags=['segment']) }}"
                    ) }}
                {%- endif -%}
            {%- endif -%}
        {%- endfor -%}
        {%- set unlisted = tagged | reject('in', var('segments')) | sort -%}
        {%- if unlisted -%}
            {{ exceptions.raise_compiler_error(
                "segment " ~ unlisted[0] ~ " is not in the list: add it to vars: segments: in dbt_project.yml"
            ) }}
        {%- endif -%}
    {%- endif -%}
{%- endmacro %}

{#- Fails, before anything is written, when `relation` holds times later than this build's instant: a
build as of a past date would rewrite history. `columns` are its timestamps. -#}
{% macro refuse_to_go_back(relation, columns) -%}
    {%- if execute and load_relation(relation) is not none -%}
        {%- set latest_query -%}
            select max(latest_at) as latest_at
            from (
                {%- for column in columns %}
                select max({{ column }}) as latest_at from {{ relation }}
                {{- ' union all' if not loop.last }}
                {%- endfor %}
            ) as latest
            having max(latest_at) > {{ as_of() }}
        {%- endset -%}
        {%- set rows = run_query(latest_query).rows -%}
        {%- if rows | length > 0 -%}
            {{ exceptions.raise_compiler_error(
                relation.identifier ~ " already holds changes of " ~ rows[0][0] ~ " UTC; a build as of "
                ~ (var('as_of', none) or 'an earlier clock') ~ " would rewrite its history. Build the past in a "
                ~ "warehouse of its own (KUNDRESA_WAREHOUSE_PATH)."
            ) }}
        {%- endif -%}
    {%- endif -%}
{%- endmacro %}
