-- People by which segments they are in together, not one by one: there are far fewer combinations than
-- people, and pairs are made of combinations.
{%- set people = people_segments(all_segments()) %}
{%- set places = mark_places(people) %}
{%- set words = words_of(people) %}

with

marks as (
    select * from {{ ref('int_segments__marks') }}
),

sizes as (
    select * from {{ ref('int_segments__sizes') }}
),

combinations as (
    select
        {{ for_words(words, 'marks_{n}') }},
        count(*) as people_count,
        row_number() over (order by {{ for_words(words, 'marks_{n}') }}) as combination_id
    from marks
    group by {{ for_words(words, 'marks_{n}') }}
),

{% if people -%}
marked as (
    select
        combination_id,
        people_count,
        {{ for_segments(places, 'case when {marks} then 1 end as in_{name}') }}
    from combinations
),

members as (
    select
        substr(in_segment, 4) as segment,
        combination_id,
        people_count
    from marked
    unpivot (is_in for in_segment in ({{ segment_columns(people) }}))
),
{%- else -%}
members as (
    select
        cast(null as string) as segment,
        combination_id,
        people_count
    from combinations
    where false
),
{%- endif %}

in_use as (
    select
        members.segment,
        members.combination_id,
        members.people_count,
        sizes.evaluated_count
    from members
    inner join sizes on members.segment = sizes.segment
    where not sizes.is_held
),

shared as (
    select
        one.segment,
        other.segment as other_segment,
        sum(one.people_count) as shared_count,
        sum(one.people_count) * 1.0 / max(one.evaluated_count) as shared_share
    from in_use as one
    inner join in_use as other on one.combination_id = other.combination_id
    where one.segment <> other.segment
    group by
        one.segment,
        other.segment
),

final as (
    select
        cast(segment as string) as segment,
        cast(other_segment as string) as other_segment,
        cast(shared_count as bigint) as shared_count,
        cast(shared_share as double) as shared_share
    from shared
)

select * from final
