with

source as (
    select * from {{ read_source(source('operations', 'run_capacity_campaigns')) }}
),

final as (
    select
        cast(run_key as string) as run_key,
        cast(capacity as string) as capacity,
        cast(campaign as string) as campaign
    from source
)

select * from final
