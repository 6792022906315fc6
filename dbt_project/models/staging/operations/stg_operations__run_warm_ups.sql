with

source as (
    select * from {{ read_source(source('operations', 'run_warm_ups')) }}
),

final as (
    select
        cast(run_key as string) as run_key,
        cast(domain as string) as domain,
        cast(provider as string) as provider,
        cast(max_messages as integer) as max_messages,
        cast(starts_at as timestamp) as starts_at,
        cast(ends_at as timestamp) as ends_at
    from source
)

select * from final
