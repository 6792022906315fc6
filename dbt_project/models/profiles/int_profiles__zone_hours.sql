-- How the reactions of the people of a time zone spread over the hours of the day, drawn towards those of
-- everybody, whose spread stands under ''. Hours in which nobody has ever reacted are left out: they are nobody's
-- best. No row at all where nobody has reacted.
with

reactions as (
    select
        time_zone,
        local_hour,
        sum(weight) as weight
    from {{ ref('int_profiles__reaction_hours') }}
    group by
        time_zone,
        local_hour
),

hours as (
    select
        local_hour,
        sum(weight) as weight
    from reactions
    group by local_hour
),

total as (
    select sum(weight) as weight
    from reactions
),

everybody as (
    select
        hours.local_hour,
        total.weight,
        cast(hours.weight + 1 as double) / cast(total.weight + 24 as double) as share
    from hours
    cross join total
),

zones as (
    select
        time_zone,
        sum(weight) as weight
    from reactions
    group by time_zone
),

of_zones as (
    select
        zones.time_zone,
        everybody.local_hour,
        zones.weight,
        (cast(coalesce(reactions.weight, 0) as double) + 50 * everybody.share)
        / cast(zones.weight + 50 as double) as share
    from zones
    cross join everybody
    left join reactions
        on
            zones.time_zone = reactions.time_zone
            and everybody.local_hour = reactions.local_hour
),

final as (
    select
        time_zone,
        local_hour,
        weight,
        share
    from of_zones
    union all
    select
        '' as time_zone,
        local_hour,
        weight,
        share
    from everybody
)

select * from final
