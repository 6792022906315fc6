with

source as (
    select * from {{ read_source(source('operations', 'run_providers')) }}
),

final as (
    select
        cast(run_key as string) as run_key,
        cast(provider as string) as provider,
        cast(address_domain as string) as address_domain
    from source
)

select * from final
