-- Who is considered: everyone in an included segment. Being in an excluded one is a mark, not a filter:
-- the person stays in the account with that reason.
with

runs as (
    select * from {{ ref('stg_operations__runs') }}
),

run_segments as (
    select * from {{ ref('stg_operations__run_segments') }}
),

members as (
    select
        segment,
        profile_id
    from {{ ref('segment_memberships') }}
    where exited_at is null
),

included as (
    select distinct
        run_segments.run_key,
        members.profile_id
    from run_segments
    inner join members on run_segments.segment = members.segment
    where run_segments.segment_role = 'include'
),

excluded as (
    select
        run_segments.run_key,
        members.profile_id,
        min(members.segment) as excluded_by_segment
    from run_segments
    inner join members on run_segments.segment = members.segment
    where run_segments.segment_role = 'exclude'
    group by
        run_segments.run_key,
        members.profile_id
),

final as (
    select
        runs.run_key,
        runs.campaign,
        included.profile_id,
        -- One message per person. A campaign that sends one per order or booking has its key here.
        '' as entity_id,
        excluded.excluded_by_segment
    from runs
    inner join included on runs.run_key = included.run_key
    left join excluded
        on
            included.run_key = excluded.run_key
            and included.profile_id = excluded.profile_id
)

select * from final
