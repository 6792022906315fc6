with

source as (
    select * from {{ read_source(source('operations', 'run_waves')) }}
),

final as (
    select
        cast(run_key as string) as run_key,
        cast(wave as integer) as wave,
        cast(bucket_from as integer) as bucket_from,
        cast(bucket_to as integer) as bucket_to,
        cast(place_from as bigint) as place_from,
        cast(place_to as bigint) as place_to,
        cast(starts_at as timestamp) as starts_at
    from source
)

select * from final
