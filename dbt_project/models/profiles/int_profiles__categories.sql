with

profile_orders as (
    select * from {{ ref('int_profiles__orders') }}
),

order_items as (
    select * from {{ ref('stg_shop__order_items') }}
),

products as (
    select * from {{ ref('stg_shop__products') }}
),

counted as (
    select
        profile_orders.profile_id,
        products.category,
        sum(order_items.quantity) as items_count
    from profile_orders
    inner join order_items
        on profile_orders.order_id = order_items.order_id
    inner join products
        on order_items.product_id = products.product_id
    where products.category is not null
    group by profile_orders.profile_id, products.category
),

final as (
    select
        profile_id,
        category,
        items_count,
        row_number() over (
            partition by profile_id
            order by items_count desc, category asc
        ) as category_rank
    from counted
)

select * from final
