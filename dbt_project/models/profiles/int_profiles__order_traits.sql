with

profile_orders as (
    select * from {{ ref('int_profiles__orders') }}
),

bought as (
    select
        profile_id,
        count(*) as orders_count,
        count(case when ordered_at > {{ as_of() }} - interval '30' day then 1 end) as orders_30d_count,
        count(case when ordered_at > {{ as_of() }} - interval '90' day then 1 end) as orders_90d_count,
        count(case when ordered_at > {{ as_of() }} - interval '365' day then 1 end) as orders_365d_count,
        sum(total_amount) as total_spend,
        sum(case when ordered_at > {{ as_of() }} - interval '365' day then total_amount end) as spend_365d,
        min(ordered_at) as first_ordered_at,
        max(ordered_at) as last_ordered_at
    from profile_orders
    group by profile_id
),

final as (
    select
        profile_id,
        orders_count,
        orders_30d_count,
        orders_90d_count,
        orders_365d_count,
        cast(total_spend as double) as total_spend,
        cast(coalesce(spend_365d, 0) as double) as spend_365d,
        cast({{ per_order('total_spend', 'orders_count') }} as double) as average_order_value,
        cast(first_ordered_at as date) as first_order_date,
        cast(last_ordered_at as date) as last_order_date,
        first_ordered_at,
        last_ordered_at
    from bought
)

select * from final
