-- Which source tables each segment is made from, of those that say when their rows happened.
{{ config(materialized='view') }}
{%- set pairs = segment_sources(all_segments()) %}

with

listed as (
    {%- for pair in pairs %}
    select
        '{{ pair[0] }}' as segment,
        '{{ pair[1] }}' as source
    {{- ' union all' if not loop.last }}
    {%- else %}
    select
        null as segment,
        null as source
    where false
    {%- endfor %}
),

final as (
    select
        cast(segment as string) as segment,
        cast(source as string) as source
    from listed
)

select * from final
