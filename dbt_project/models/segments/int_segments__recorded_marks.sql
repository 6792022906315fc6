-- Who is in which segment of people by segment_memberships, as marks: the next build compares with these, so
-- that it need not read all memberships. Only people whose memberships changed are written
-- (macros/segments/recorded.sql).
{{
    config(
        materialized=recorded_marks_materialization(),
        incremental_strategy=replace_strategy(),
        unique_key='profile_id',
        on_schema_change='sync_all_columns',
        pre_hook="{{ forget_other_places(this) }}",
    )
}}
{%- set places = mark_places(people_segments(all_segments())) %}
{%- set kept = kept_marks(this, places) if is_incremental() else none %}

with

{% if kept -%}
changed as (
    {{ changed_marks_since(kept.since, ref('segment_memberships'), places) }}
),

recorded as (
    select
        changed.profile_id,
        {{ marks_after_changes(places) }}
    from changed
    left join {{ this }} as kept on changed.profile_id = kept.profile_id
),
{%- else -%}
recorded as (
    {{ marks_of_memberships(ref('segment_memberships'), places) }}
),
{%- endif %}

read_until as (
    select greatest(max(entered_at), max(exited_at)) as recorded_at
    from {{ ref('segment_memberships') }}
),

final as (
    select
        cast(recorded.profile_id as string) as profile_id,
        {{ for_words(words_of(places), 'cast(recorded.marks_{n} as bigint) as marks_{n}') }},
        {{ literal(places_key(places)) }} as places,
        cast(read_until.recorded_at as timestamp) as recorded_at
    from recorded
    cross join read_until
)

select * from final
