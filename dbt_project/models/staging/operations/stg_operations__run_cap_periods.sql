with

source as (
    select * from {{ read_source(source('operations', 'run_cap_periods')) }}
),

final as (
    select
        cast(run_key as string) as run_key,
        cast(cap as string) as cap,
        cast(time_zone as string) as time_zone,
        cast(starts_at as timestamp) as starts_at,
        cast(ends_at as timestamp) as ends_at
    from source
)

select * from final
