with

source as (
    select * from {{ read_source(source('shop', 'web_events')) }}
),

final as (
    select
        cast(event_id as string) as event_id,
        cast(device_id as string) as device_id,
        cast(account_id as string) as account_id,
        cast(product_id as string) as product_id,
        cast(event_type as string) as event_type,
        cast(occurred_at as timestamp) as occurred_at
    from source
)

select * from final
