with

source as (
    select * from {{ read_source(source('shop', 'web_events')) }}
),

final as (
    select
        cast(event_id as varchar) as event_id,
        cast(device_id as varchar) as device_id,
        cast(account_id as varchar) as account_id,
        cast(product_id as varchar) as product_id,
        cast(event_type as varchar) as event_type,
        cast(occurred_at as timestamp) as occurred_at
    from source
)

select * from final
