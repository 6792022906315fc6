with

source as (
    select * from {{ read_source(source('operations', 'sending_runs')) }}
),

final as (
    select
        cast(run_key as string) as run_key,
        cast(domain as string) as domain
    from source
)

select * from final
