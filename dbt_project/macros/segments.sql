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
