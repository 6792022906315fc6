with

source as (
    select * from {{ read_source(source('operations', 'run_capacities')) }}
),

final as (
    select
        cast(run_key as string) as run_key,
        cast(capacity as string) as capacity,
        cast(channel as string) as channel,
        cast(level as integer) as level
    from source
)

select * from final
