-- Who is in which segment of people now, as they are declared: one row per person, one column
-- in_<segment> per segment (a name alone may be a word of SQL).
-- A view: int_segments__marks reads all columns in one pass, and packs them.
{{ config(materialized='view') }}
{%- set segments = all_segments() %}
{%- set given = mark_places(given_segments(segments)) %}

with

profiles as (
    select * from {{ ref('profiles') }}
),

given_members as (
    select * from {{ ref('int_segments__given') }}
),

given_marks as (
    select
        profile_id,
        {{ given_columns(given) }}
    from given_members
    group by profile_id
),

people as (
    select
        profiles.*,
        {{ for_words(words_of(given), 'coalesce(given_marks.given_{n}, 0) as given_{n}') }}
    from profiles
    left join given_marks on profiles.profile_id = given_marks.profile_id
),

final as (
    select
        {{ evaluated_columns(segments, given) }}
        profile_id
    from people
)

select * from final
