-- Who is considered: everyone in an included segment, once for each order, booking or other entity where the
-- segment is one of entities. Being in an excluded one is a mark, not a filter: the person stays in the
-- account with that reason.
--
-- An excluded segment of people excludes all of the person's lines; one of entities the line of that very
-- entity. A line that is not about such an entity (about the person, or about an entity of another kind) is
-- excluded as soon as any entity of the person is in it: who asks for nothing while an order is complained
-- about wants the newsletter stopped too.
--
-- Of one segment everyone is a member once, so where no open run includes two, nobody is looked for twice.
{%- set is_of_several = open_runs_have(
    'stg_operations__run_segments',
    "run_key in (
        select run_key
        from " ~ ref('stg_operations__run_segments') ~ "
        where segment_role = 'include'
        group by run_key
        having count(*) > 1
    )",
) %}

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

excluded_members as (
    select
        run_segments.run_key,
        run_segments.entity,
        members.segment,
        members.profile_id,
        members.entity_id
    from run_segments
    inner join {{ ref('segment_memberships') }} as members on run_segments.segment = members.segment
    where
        run_segments.segment_role = 'exclude'
        and members.exited_at is null
),

excluded as (
    select
        run_segments.run_key,
        members.profile_id,
        members.entity_id,
        min(excluded_members.segment) as excluded_by_segment
    from run_segments
    inner join {{ ref('segment_memberships') }} as members on run_segments.segment = members.segment
    inner join excluded_members
        on
            run_segments.run_key = excluded_members.run_key
            and members.profile_id = excluded_members.profile_id
    where
        run_segments.segment_role = 'include'
        and members.exited_at is null
        and (
            run_segments.entity <> excluded_members.entity
            or members.entity_id = excluded_members.entity_id
        )
    group by
        run_segments.run_key,
        members.profile_id,
        members.entity_id
),

included as (
    select
        run_segments.run_key,
        members.profile_id,
        members.entity_id,
        -- The latest, for one who is in several segments of the run.
        {{ 'max(members.entered_at)' if is_of_several else 'members.entered_at' }} as entered_at
    from run_segments
    inner join {{ ref('segment_memberships') }} as members on run_segments.segment = members.segment
    where
        run_segments.segment_role = 'include'
        and members.exited_at is null
    {%- if is_of_several %}
    group by
        run_segments.run_key,
        members.profile_id,
        members.entity_id
    {%- endif %}
),

final as (
    select
        runs.run_key,
        runs.campaign,
        included.profile_id,
        included.entity_id,
        excluded.excluded_by_segment,
        included.entered_at
    from runs
    inner join included on runs.run_key = included.run_key
    left join excluded
        on
            included.run_key = excluded.run_key
            and included.profile_id = excluded.profile_id
            and included.entity_id = excluded.entity_id
)

select * from final
