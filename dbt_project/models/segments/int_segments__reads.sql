-- Which segments each segment reads, directly or through others.
{{ config(materialized='view') }}
{%- set pairs = segment_reads(all_segments()) %}

with

listed as (
    {%- for pair in pairs %}
    select
        '{{ pair[0] }}' as segment,
        '{{ pair[1] }}' as read_segment
    {{- ' union all' if not loop.last }}
    {%- else %}
    select
        null as segment,
        null as read_segment
    where false
    {%- endfor %}
),

final as (
    select
        cast(segment as string) as segment,
        cast(read_segment as string) as read_segment
    from listed
)

select * from final
