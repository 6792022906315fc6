-- The list of segments as rows: whose segments they are, and their bounds.
{{ config(materialized='view') }}
{{ refuse_unlisted_segments() }}
{%- set segments = all_segments() %}
{%- set accepted = accepted_segments(segments) %}

with

listed as (
    {%- for segment in segments.values() %}
    select
        '{{ segment.name }}' as segment,
        '{{ segment.entity }}' as entity,
        {{ segment.bounds.min if segment.bounds.min is not none else 'null' }} as min_size,
        {{ segment.bounds.max if segment.bounds.max is not none else 'null' }} as max_size,
        {{ segment.bounds.max_change_percent if segment.bounds.max_change_percent is not none else 'null' }} as max_change_percent,
        {{ segment.bounds.free_change or 0 }} as free_change,
        {{ (segment.name in accepted) | lower }} as is_accepted
    {{- ' union all' if not loop.last }}
    {%- else %}
    select
        null as segment,
        null as entity,
        null as min_size,
        null as max_size,
        null as max_change_percent,
        null as free_change,
        null as is_accepted
    where false
    {%- endfor %}
),

final as (
    select
        cast(segment as string) as segment,
        cast(entity as string) as entity,
        cast(min_size as bigint) as min_size,
        cast(max_size as bigint) as max_size,
        cast(max_change_percent as double) as max_change_percent,
        cast(free_change as bigint) as free_change,
        cast(is_accepted as boolean) as is_accepted
    from listed
)

select * from final
