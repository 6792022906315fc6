-- Who wants a product: they put it into the cart in the last sixty days, the sixtieth included, and have not ordered
-- it since. One member per person and product, so that a journey reaches them when it is back in stock.
with

web_events as (
    select * from {{ ref('stg_shop__web_events') }}
),

owners as (
    select * from {{ ref('int_profiles__owners') }}
),

profile_orders as (
    select * from {{ ref('int_profiles__orders') }}
),

order_items as (
    select * from {{ ref('stg_shop__order_items') }}
),

-- Per name before anybody asks whose name it is: there are many times as many events.
carts as (
    select
        account_id,
        product_id,
        max(occurred_at) as wanted_at
    from web_events
    where
        event_type = 'add_to_cart'
        and account_id <> ''
        and product_id <> ''
        and occurred_at <= {{ as_of() }}
        and occurred_at >= {{ as_of() }} - interval '60' day
    group by account_id, product_id
),

wanted as (
    select
        owners.profile_id,
        carts.product_id,
        max(carts.wanted_at) as wanted_at
    from carts
    inner join owners
        on
            owners.namespace = 'account_id'
            and carts.account_id = owners.identifier
    group by owners.profile_id, carts.product_id
),

bought as (
    select
        profile_orders.profile_id,
        order_items.product_id,
        max(profile_orders.ordered_at) as bought_at
    from profile_orders
    inner join order_items
        on profile_orders.order_id = order_items.order_id
    where profile_orders.ordered_at >= {{ as_of() }} - interval '60' day
    group by profile_orders.profile_id, order_items.product_id
),

final as (
    select
        wanted.profile_id,
        wanted.product_id as entity_id
    from wanted
    left join bought
        on
            wanted.profile_id = bought.profile_id
            and wanted.product_id = bought.product_id
    where
        bought.bought_at is null
        or bought.bought_at < wanted.wanted_at
)

select * from final
