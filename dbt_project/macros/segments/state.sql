{#- What segments were before this build. The tables are read by name and not by `ref`: they are built from
the models that ask, and a first build has none of them. Each gives a relation to be named with `as`;
unit tests override them with rows. -#}

{#- The memberships as the build before left them. -#}
{% macro recorded_memberships() -%}
    {%- set found = recorded_table('segment_memberships') -%}
    {%- if found is not none -%}
        {{ return(found) }}
    {%- endif -%}
    {{ return(
        "(select cast(null as string) as segment, cast(null as string) as profile_id, cast(null as string) as entity_id,"
        ~ " cast(null as timestamp) as entered_at, cast(null as timestamp) as exited_at where false)"
    ) }}
{%- endmacro %}

{#- The sizes of all builds before. -#}
{% macro recorded_sizes() -%}
    {%- set found = recorded_table('segment_sizes') -%}
    {%- if found is not none -%}
        {{ return(found) }}
    {%- endif -%}
    {{ return(
        "(select cast(null as string) as segment, cast(null as boolean) as is_held,"
        ~ " cast(null as timestamp) as built_at where false)"
    ) }}
{%- endmacro %}

{#- A table of this folder as it was before this build, or none. Spark: a build that died while it wrote
left the whole one in the copy (macros/dispatch/history.sql). -#}
{% macro recorded_table(name) -%}
    {%- if not execute -%}
        {{ return(none) }}
    {%- endif -%}
    {%- set table = this.incorporate(path={'identifier': name}) -%}
    {{ return(load_relation(earlier(table)) or load_relation(table)) }}
{%- endmacro %}

{#- Which segments each reads, directly or through others: pairs of names. A segment's file says it by
segment() and members_of(), which leave a note in its meta, and by ref(). -#}
{% macro segment_reads(segments) -%}
    {%- set direct = {} -%}
    {%- for segment in segments.values() -%}
        {%- set reads = segment.reads | list -%}
        {%- if execute and segment.is_sql -%}
            {%- for node in graph.get('nodes', {}).values()
                if node.resource_type == 'model' and node.name == segment.name and 'segments' in node.fqn -%}
                {%- for other in segments
                    if 'reads segment ' ~ other in node.config.meta
                    or node.unique_id[:-(node.name | length)] ~ other in node.depends_on.nodes -%}
                    {%- do reads.append(other) -%}
                {%- endfor -%}
            {%- endfor -%}
        {%- endif -%}
        {%- do direct.update({segment.name: reads}) -%}
    {%- endfor -%}
    {%- set pairs = [] -%}
    {%- for name in direct -%}
        {%- set found = [] -%}
        {%- do follow_reads(direct, name, found) -%}
        {%- for other in found | sort -%}
            {%- do pairs.append([name, other]) -%}
        {%- endfor -%}
    {%- endfor -%}
    {{ return(pairs) }}
{%- endmacro %}

{% macro follow_reads(direct, name, found) -%}
    {%- for other in direct[name] if other not in found -%}
        {%- do found.append(other) -%}
        {%- do follow_reads(direct, other, found) -%}
    {%- endfor -%}
{%- endmacro %}
