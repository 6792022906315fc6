-- The latest time in each source table that a segment is made from; times after the build's instant do not count.
{%- set names = segment_sources(all_segments()) | map('last') | unique | sort %}

with

latest as (
    {%- for name in names %}
    {%- set node = source_node(name) %}
    {%- set column = (node.config.meta or node.meta).time_column %}
    select
        '{{ name }}' as source,
        max({{ column }}) as fresh_at
    from {{ read_source(source(node.source_name, node.name)) }} as rows_of_source
    where {{ column }} <= {{ as_of() }}
    {{- ' union all' if not loop.last }}
    {%- else %}
    select
        null as source,
        null as fresh_at
    where false
    {%- endfor %}
),

final as (
    select
        cast(source as string) as source,
        cast(fresh_at as timestamp) as fresh_at
    from latest
)

select * from final
