with

source as (
    select * from {{ read_source(source('operations', 'run_budgets')) }}
),

final as (
    select
        cast(run_key as string) as run_key,
        cast(channel as string) as channel,
        cast(cost_micros as bigint) as cost_micros,
        cast(budget_micros as bigint) as budget_micros,
        cast(is_shared as boolean) as is_shared,
        cast(starts_at as timestamp) as starts_at,
        cast(ends_at as timestamp) as ends_at
    from source
)

select * from final
