-- depends_on: {{ ref('int_profiles__owners') }}
with

orders as (
    select * from {{ ref('stg_shop__orders') }}
),

counted as (
    select
        order_id,
        account_id,
        crm_id,
        email,
        total_amount,
        ordered_at
    from orders
    where
        order_status not in ('cancelled', 'returned')
        and ordered_at <= {{ as_of() }}
),

attributed as (
    {{ with_profile_id('counted') }}
),

final as (
    select
        order_id,
        profile_id,
        total_amount,
        ordered_at
    from attributed
    where profile_id is not null
)

select * from final
