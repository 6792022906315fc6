-- The members of the segments that a row of profiles alone does not tell: those with a file of their own,
-- and tops.
{{ config(materialized='view') }}
{%- set segments = all_segments() %}
{%- set names = given_segments(segments) %}

with

members as (
    {%- for name in names %}
    select
        '{{ name }}' as segment,
        members.profile_id
    from {{ segment_relation(segments, name) }} as members
    {{- ' union all' if not loop.last }}
    {%- else %}
    select
        cast(null as string) as segment,
        cast(null as string) as profile_id
    where false
    {%- endfor %}
),

final as (
    select
        segment,
        profile_id
    from members
)

select * from final
