with

profile_records as (
    select * from {{ ref('int_profiles__records') }}
),

profile_orders as (
    select * from {{ ref('int_profiles__orders') }}
),

profile_categories as (
    select * from {{ ref('int_profiles__categories') }}
),

people as (
    select
        profile_id,
        {{ latest_value("case when source = 'crm' then source_id end") }} as crm_id,
        {{ latest_value("case when source = 'shop' then source_id end") }} as account_id,
        {{ latest_value('first_name') }} as first_name,
        {{ latest_value('last_name') }} as last_name,
        {{ latest_value('language') }} as language,
        {{ latest_value('country') }} as country,
        {{ latest_value('time_zone') }} as time_zone,
        min(created_at) as first_recorded_at
    from profile_records
    group by profile_id
),

bought as (
    select
        profile_id,
        count(*) as orders_count,
        count(case when ordered_at > {{ as_of() }} - interval '365' day then 1 end) as orders_365d_count,
        sum(total_amount) as total_spend,
        min(ordered_at) as first_ordered_at,
        max(ordered_at) as last_ordered_at
    from profile_orders
    group by profile_id
),

favourites as (
    select * from profile_categories
    where category_rank = 1
),

final as (
    select
        cast(people.profile_id as string) as profile_id,
        cast(people.crm_id as string) as crm_id,
        cast(people.account_id as string) as account_id,
        cast(people.first_name as string) as first_name,
        cast(people.last_name as string) as last_name,
        cast(people.language as string) as language,
        cast(people.country as string) as country,
        cast(people.time_zone as string) as time_zone,
        cast(favourites.category as string) as favourite_category,
        cast(coalesce(bought.orders_count, 0) as bigint) as orders_count,
        cast(coalesce(bought.orders_365d_count, 0) as bigint) as orders_365d_count,
        cast(coalesce(bought.total_spend, 0) as double) as total_spend,
        cast(round(bought.total_spend / bought.orders_count, 2) as double) as average_order_value,
        cast({{ days_between('bought.last_ordered_at', as_of()) }} as integer) as days_since_last_order,
        cast(least(people.first_recorded_at, bought.first_ordered_at) as date) as customer_since_date,
        cast(bought.last_ordered_at as date) as last_order_date
    from people
    left join bought
        on people.profile_id = bought.profile_id
    left join favourites
        on people.profile_id = favourites.profile_id
)

select * from final
