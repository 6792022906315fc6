-- Who is in which segment of people now, one bit per segment: this is where all segments are evaluated, in
-- one pass over profiles (macros/segments/evaluation.sql says why bits).
{%- set people = people_segments(all_segments()) %}
{%- set places = mark_places(people) %}

with

evaluated as (
    select * from {{ ref('int_segments__evaluated') }}
),

final as (
    select
        {{ marks_columns(places) }},
        profile_id
    from evaluated
)

select * from final
