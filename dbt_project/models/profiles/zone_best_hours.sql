with

hours as (
    select * from {{ ref('int_profiles__zone_hours') }}
),

ranked as (
    select
        *,
        row_number() over (
            partition by time_zone
            -- Rounded: sums of fractions may differ in their last bits, and a tie must be one on every engine.
            order by round(share, 12) desc, local_hour asc
        ) as place
    from hours
),

final as (
    select
        cast(time_zone as string) as time_zone,
        cast(local_hour as integer) as best_hour,
        cast(weight as bigint) as weight,
        cast(share as double) as share
    from ranked
    where place = 1
)

select * from final
