-- Only hours in which the person has reacted, and their zone's best one, can be the best: in any other hour the
-- share is a fixed part of their zone's, which is greatest in the zone's best hour.
with

reactions as (
    select * from {{ ref('int_profiles__reaction_hours') }}
),

zone_hours as (
    select * from {{ ref('int_profiles__zone_hours') }}
),

people as (
    select
        profile_id,
        time_zone,
        sum(weight) as weight
    from reactions
    group by
        profile_id,
        time_zone
),

possible as (
    select
        profile_id,
        local_hour,
        weight
    from reactions
    union all
    select
        people.profile_id,
        zone_best_hours.best_hour as local_hour,
        0 as weight
    from people
    inner join {{ ref('zone_best_hours') }} as zone_best_hours
        on people.time_zone = zone_best_hours.time_zone
),

own as (
    select
        profile_id,
        local_hour,
        sum(weight) as weight
    from possible
    group by
        profile_id,
        local_hour
),

shares as (
    select
        own.profile_id,
        own.local_hour,
        people.weight,
        (cast(own.weight as double) + 10 * zone_hours.share) / cast(people.weight + 10 as double) as share
    from own
    inner join people on own.profile_id = people.profile_id
    inner join zone_hours
        on
            people.time_zone = zone_hours.time_zone
            and own.local_hour = zone_hours.local_hour
),

ranked as (
    select
        *,
        row_number() over (
            partition by profile_id
            order by round(share, 12) desc, local_hour asc
        ) as place
    from shares
),

final as (
    select
        cast(profile_id as string) as profile_id,
        cast(local_hour as integer) as best_hour,
        cast(weight as bigint) as weight,
        cast(share as double) as share
    from ranked
    where place = 1
)

select * from final
