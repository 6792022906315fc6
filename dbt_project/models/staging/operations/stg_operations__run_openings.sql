with

source as (
    select * from {{ read_source(source('operations', 'run_openings')) }}
),

final as (
    select
        cast(run_key as string) as run_key,
        cast(time_zone as string) as time_zone,
        cast(country as string) as country,
        cast(hour as integer) as hour,
        cast(wave as integer) as wave,
        cast(opens_at as timestamp) as opens_at
    from source
)

select * from final
