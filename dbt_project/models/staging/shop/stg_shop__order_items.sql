with

source as (
    select * from {{ read_source(source('shop', 'order_items')) }}
),

final as (
    select
        cast(order_item_id as string) as order_item_id,
        cast(order_id as string) as order_id,
        cast(product_id as string) as product_id,
        cast(quantity as integer) as quantity,
        cast(unit_price as decimal(18, 2)) as unit_price
    from source
)

select * from final
