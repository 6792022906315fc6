with

source as (
    select * from {{ read_source(source('operations', 'run_cap_channels')) }}
),

final as (
    select
        cast(run_key as string) as run_key,
        cast(cap as string) as cap,
        cast(channel as string) as channel
    from source
)

select * from final
