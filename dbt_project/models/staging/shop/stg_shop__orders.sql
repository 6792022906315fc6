with

source as (
    select * from {{ read_source(source('shop', 'orders')) }}
),

final as (
    select
        cast(order_id as string) as order_id,
        cast(account_id as string) as account_id,
        cast(crm_id as string) as crm_id,
        cast(email as string) as email,
        cast(status as string) as order_status,
        cast(currency as string) as currency,
        cast(total_amount as decimal(18, 2)) as total_amount,
        cast(ordered_at as timestamp) as ordered_at
    from source
)

select * from final
