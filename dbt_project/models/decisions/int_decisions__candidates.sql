-- Who is considered: everyone in an included segment, once for each order, booking or other entity where the
-- segment is one of entities. Being in an excluded one is a mark, not a filter: the person stays in the
-- account with that reason.
--
-- An excluded segment of people excludes all of the person's lines; one of entities the line of that very
-- entity. A line that is not about such an entity (about the person, or about an entity of another kind) is
-- excluded as soon as any entity of the person is in it: who asks for nothing while an order is complained
-- about wants the newsletter stopped too.
with

runs as (
    select * from {{ ref('stg_operations__runs') }}
),

run_segments as (
    select
        run_key,
        segment_role,
        segment,
        {{ entity_of_segment('segment') }} as entity
    from {{ ref('stg_operations__run_segments') }}
),

members as (
    select
        segment,
        profile_id,
        entity_id,
        entered_at
    from {{ ref('segment_memberships') }}
    where exited_at is null
),

included as (
    select
        run_segments.run_key,
        run_segments.entity,
        members.profile_id,
        members.entity_id,
        max(members.entered_at) as entered_at
    from run_segments
    inner join members on run_segments.segment = members.segment
    where run_segments.segment_role = 'include'
    group by
        run_segments.run_key,
        run_segments.entity,
        members.profile_id,
        members.entity_id
),

excluded_members as (
    select
        run_segments.run_key,
        run_segments.entity,
        members.segment,
        members.profile_id,
        members.entity_id
    from run_segments
    inner join members on run_segments.segment = members.segment
    where run_segments.segment_role = 'exclude'
),

excluded as (
    select
        included.run_key,
        included.profile_id,
        included.entity_id,
        min(excluded_members.segment) as excluded_by_segment
    from included
    inner join excluded_members
        on
            included.run_key = excluded_members.run_key
            and included.profile_id = excluded_members.profile_id
    where
        included.entity <> excluded_members.entity
        or included.entity_id = excluded_members.entity_id
    group by
        included.run_key,
        included.profile_id,
        included.entity_id
),

final as (
    select
        runs.run_key,
        runs.campaign,
        included.profile_id,
        included.entity_id,
        excluded.excluded_by_segment,
        -- The latest, for one who is in several segments of the run.
        max(included.entered_at) as entered_at
    from runs
    inner join included on runs.run_key = included.run_key
    left join excluded
        on
            included.run_key = excluded.run_key
            and included.profile_id = excluded.profile_id
            and included.entity_id = excluded.entity_id
    group by
        runs.run_key,
        runs.campaign,
        included.profile_id,
        included.entity_id,
        excluded.excluded_by_segment
)

select * from final
