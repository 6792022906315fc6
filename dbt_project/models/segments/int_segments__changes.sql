-- Who enters and who leaves which segment in this build, and why. People are compared by their marks, all
-- segments at once; only what differs is looked at further. In a held segment nothing changes but that
-- who was merged stays in it under the new profile, and who is no longer known leaves.
-- Memberships and marks are read in place, several times: DuckDB copies a CTE that is read more than once,
-- and these would fill the memory.
{%- set segments = all_segments() %}
{%- set people = people_segments(segments) %}
{%- set places = mark_places(people) %}
{%- set words = words_of(people) %}

with

segments as (
    select * from {{ ref('int_segments__sizes') }}
),

entities as (
    select * from {{ ref('int_segments__entities') }}
),

moves as (
    select * from {{ ref('int_segments__moves') }}
),

{% if people -%}
recorded_marks as (
    {{ recorded_marks(places) }}
),

compared as (
    select
        coalesce(marks.profile_id, recorded_marks.profile_id) as profile_id,
        {{ for_words(words, 'coalesce(marks.marks_{n}, 0) as marks_{n}') }},
        {{ for_words(words, 'coalesce(recorded_marks.marks_{n}, 0) as recorded_{n}') }}
    from {{ ref('int_segments__marks') }} as marks
    full outer join recorded_marks on marks.profile_id = recorded_marks.profile_id
),

changed_people as (
    select * from compared
    where {{ for_words(words, 'marks_{n} <> recorded_{n}', between=' or ') }}
),

changed_marks as (
    select
        profile_id,
        {{ for_segments(
            places,
            "case when {marks} and not {recorded} then 'entered' when {recorded} and not {marks} then 'exited' end as in_{name}"
        ) }}
    from changed_people
),

{% endif -%}
recorded_entities as (
    select
        memberships.segment,
        memberships.profile_id,
        memberships.entity_id
    from {{ recorded_memberships() }} as memberships
    inner join segments on memberships.segment = segments.segment
    where
        memberships.exited_at is null
        and memberships.entity_id <> ''
        and segments.entity <> 'person'
),

evaluated as (
    {% if people -%}
    -- `unpivot` leaves out the nulls, which are the segments that did not change.
    select
        substr(in_segment, 4) as segment,
        profile_id,
        '' as entity_id,
        change
    from changed_marks
    unpivot (change for in_segment in ({{ segment_columns(people) }}))
    union all
    {% endif -%}
    select
        coalesce(entities.segment, recorded_entities.segment) as segment,
        coalesce(entities.profile_id, recorded_entities.profile_id) as profile_id,
        coalesce(entities.entity_id, recorded_entities.entity_id) as entity_id,
        case when recorded_entities.segment is null then 'entered' else 'exited' end as change
    from entities
    full outer join recorded_entities
        on
            entities.segment = recorded_entities.segment
            and entities.profile_id = recorded_entities.profile_id
            and entities.entity_id = recorded_entities.entity_id
    where
        entities.segment is null
        or recorded_entities.segment is null
),

mergers as (
    select * from moves
    where reason = 'merged'
),

split_profiles as (
    select distinct profile_id
    from moves
    where reason = 'split'
),

exited as (
    select
        evaluated.segment,
        evaluated.profile_id,
        evaluated.entity_id,
        mergers.moved_to_profile_id,
        segments.is_held,
        marks.profile_id is not null as is_known,
        case
            when marks.profile_id is null and mergers.profile_id is not null then 'merged'
            when marks.profile_id is null then 'profile_removed'
            when split_profiles.profile_id is not null then 'split'
            else 'rule'
        end as reason
    from evaluated
    inner join segments on evaluated.segment = segments.segment
    left join {{ ref('int_segments__marks') }} as marks on evaluated.profile_id = marks.profile_id
    left join mergers on evaluated.profile_id = mergers.profile_id
    left join split_profiles on evaluated.profile_id = split_profiles.profile_id
    where evaluated.change = 'exited'
),

-- Who comes in because identity resolution moved them: the profile that they were was in.
moved_in as (
    select
        evaluated.segment,
        evaluated.profile_id,
        evaluated.entity_id,
        min(moves.reason) as reason
    from evaluated
    inner join moves on evaluated.profile_id = moves.moved_to_profile_id
    inner join {{ recorded_memberships() }} as memberships
        on
            evaluated.segment = memberships.segment
            and evaluated.entity_id = memberships.entity_id
            and moves.profile_id = memberships.profile_id
    where
        evaluated.change = 'entered'
        and memberships.exited_at is null
    group by
        evaluated.segment,
        evaluated.profile_id,
        evaluated.entity_id
),

entered as (
    select
        evaluated.segment,
        evaluated.profile_id,
        evaluated.entity_id,
        case when segments.is_first then 'first_evaluation' else coalesce(moved_in.reason, 'rule') end as reason
    from evaluated
    inner join segments on evaluated.segment = segments.segment
    left join moved_in
        on
            evaluated.segment = moved_in.segment
            and evaluated.profile_id = moved_in.profile_id
            and evaluated.entity_id = moved_in.entity_id
    where
        evaluated.change = 'entered'
        and not segments.is_held
),

moved_in_held as (
    select distinct
        exited.segment,
        exited.moved_to_profile_id as profile_id,
        exited.entity_id,
        'merged' as reason
    from exited
    inner join {{ ref('int_segments__marks') }} as marks on exited.moved_to_profile_id = marks.profile_id
    left join {{ recorded_memberships() }} as memberships
        on
            exited.segment = memberships.segment
            and exited.entity_id = memberships.entity_id
            and exited.moved_to_profile_id = memberships.profile_id
            and memberships.exited_at is null
    where
        exited.is_held
        and exited.reason = 'merged'
        and memberships.segment is null
),

-- Of segments that are no longer in the list, or that are about something else now.
removed as (
    select
        memberships.segment,
        memberships.profile_id,
        memberships.entity_id
    from {{ recorded_memberships() }} as memberships
    left join segments on memberships.segment = segments.segment
    where
        memberships.exited_at is null
        and (
            segments.segment is null
            or (segments.entity = 'person') <> (memberships.entity_id = '')
        )
),

changes as (
    select
        segment,
        profile_id,
        entity_id,
        'entered' as change,
        reason
    from entered
    union all
    select
        segment,
        profile_id,
        entity_id,
        'entered' as change,
        reason
    from moved_in_held
    union all
    select
        segment,
        profile_id,
        entity_id,
        'exited' as change,
        reason
    from exited
    where not (is_held and is_known)
    union all
    select
        segment,
        profile_id,
        entity_id,
        'exited' as change,
        'segment_removed' as reason
    from removed
),

final as (
    select
        segment,
        profile_id,
        entity_id,
        change,
        reason,
        {{ as_of() }} as changed_at
    from changes
)

select * from final
