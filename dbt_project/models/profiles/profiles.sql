with

profile_records as (
    select * from {{ ref('int_profiles__records') }}
),

bought as (
    select * from {{ ref('int_profiles__order_traits') }}
),

profile_categories as (
    select * from {{ ref('int_profiles__categories') }}
),

engagement as (
    select * from {{ ref('int_profiles__engagement') }}
),

countries as (
    select * from {{ ref('countries') }}
),

regions as (
    select * from {{ ref('regions') }}
),

people as (
    select
        profile_id,
        {{ value_of_largest("case when source = 'crm' then source_id end", 'most_recent_rank') }} as crm_id,
        {{ value_of_largest("case when source = 'shop' then source_id end", 'most_recent_rank') }} as account_id,
        {{ surviving('first_name') }} as first_name,
        {{ surviving('last_name') }} as last_name,
        {{ surviving('language') }} as language,
        {{ surviving('country') }} as country,
        {{ surviving('region') }} as region,
        {{ surviving('time_zone') }} as time_zone,
        min(created_at) as first_recorded_at
    from profile_records
    group by profile_id
),

-- Country and region may come from two records: a region of another country is nowhere.
placed as (
    select
        people.profile_id,
        people.crm_id,
        people.account_id,
        people.first_name,
        people.last_name,
        people.language,
        people.country,
        people.first_recorded_at,
        case when substring(people.region, 1, 2) = people.country then people.region end as region,
        people.time_zone as declared_time_zone,
        regions.time_zone as region_time_zone,
        countries.time_zone as country_time_zone
    from people
    left join countries
        on people.country = countries.country
    left join regions
        on
            people.region = regions.region
            and substring(people.region, 1, 2) = people.country
),

favourites as (
    select * from profile_categories
    where category_rank = 1
),

known as (
    select
        placed.profile_id,
        placed.crm_id,
        placed.account_id,
        placed.first_name,
        placed.last_name,
        placed.language,
        placed.country,
        placed.region,
        coalesce(placed.declared_time_zone, placed.region_time_zone, placed.country_time_zone) as time_zone,
        case
            when placed.declared_time_zone is not null then 'declared'
            when placed.region_time_zone is not null then 'region'
            when placed.country_time_zone is not null then 'country'
            else 'unknown'
        end as time_zone_source,
        favourites.category as favourite_category,
        coalesce(bought.orders_count, 0) as orders_count,
        coalesce(bought.orders_30d_count, 0) as orders_30d_count,
        coalesce(bought.orders_90d_count, 0) as orders_90d_count,
        coalesce(bought.orders_365d_count, 0) as orders_365d_count,
        coalesce(bought.total_spend, 0) as total_spend,
        coalesce(bought.spend_365d, 0) as spend_365d,
        bought.average_order_value,
        coalesce(engagement.email_opens_90d_count, 0) as email_opens_90d_count,
        coalesce(engagement.email_clicks_90d_count, 0) as email_clicks_90d_count,
        coalesce(engagement.sms_clicks_90d_count, 0) as sms_clicks_90d_count,
        coalesce(engagement.push_opens_90d_count, 0) as push_opens_90d_count,
        coalesce(engagement.push_clicks_90d_count, 0) as push_clicks_90d_count,
        cast(least(placed.first_recorded_at, bought.first_ordered_at) as date) as customer_since_date,
        bought.first_order_date,
        bought.last_order_date,
        bought.last_ordered_at,
        engagement.email_engaged_at,
        engagement.sms_engaged_at,
        engagement.push_engaged_at,
        engagement.web_seen_at
    from placed
    left join bought
        on placed.profile_id = bought.profile_id
    left join favourites
        on placed.profile_id = favourites.profile_id
    left join engagement
        on placed.profile_id = engagement.profile_id
),

compared as (
    {{ with_relative_traits('known', as_of(), buyers='bought') }}
),

final as (
    select
        cast(profile_id as string) as profile_id,
        cast(crm_id as string) as crm_id,
        cast(account_id as string) as account_id,
        cast(first_name as string) as first_name,
        cast(last_name as string) as last_name,
        cast(language as string) as language,
        cast(country as string) as country,
        cast(region as string) as region,
        cast(time_zone as string) as time_zone,
        cast(time_zone_source as string) as time_zone_source,
        cast(favourite_category as string) as favourite_category,
        cast(orders_count as bigint) as orders_count,
        cast(orders_30d_count as bigint) as orders_30d_count,
        cast(orders_90d_count as bigint) as orders_90d_count,
        cast(orders_365d_count as bigint) as orders_365d_count,
        cast(total_spend as double) as total_spend,
        cast(spend_365d as double) as spend_365d,
        cast(average_order_value as double) as average_order_value,
        cast(days_since_last_order as integer) as days_since_last_order,
        cast(recency_score as integer) as recency_score,
        cast(frequency_score as integer) as frequency_score,
        cast(monetary_score as integer) as monetary_score,
        cast(email_opens_90d_count as bigint) as email_opens_90d_count,
        cast(email_clicks_90d_count as bigint) as email_clicks_90d_count,
        cast(sms_clicks_90d_count as bigint) as sms_clicks_90d_count,
        cast(push_opens_90d_count as bigint) as push_opens_90d_count,
        cast(push_clicks_90d_count as bigint) as push_clicks_90d_count,
        cast(customer_since_date as date) as customer_since_date,
        cast(first_order_date as date) as first_order_date,
        cast(last_order_date as date) as last_order_date,
        cast(last_ordered_at as timestamp) as last_ordered_at,
        cast(email_engaged_at as timestamp) as email_engaged_at,
        cast(sms_engaged_at as timestamp) as sms_engaged_at,
        cast(push_engaged_at as timestamp) as push_engaged_at,
        cast(web_seen_at as timestamp) as web_seen_at
    from compared
)

select * from final
