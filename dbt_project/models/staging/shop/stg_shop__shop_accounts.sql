with

source as (
    select * from {{ read_source(source('shop', 'shop_accounts')) }}
),

final as (
    select
        cast(account_id as varchar) as account_id,
        cast(device_id as varchar) as device_id,
        cast(email as varchar) as email,
        cast(phone as varchar) as phone,
        cast(first_name as varchar) as first_name,
        cast(last_name as varchar) as last_name,
        cast(language as varchar) as language,
        cast(country as varchar) as country,
        cast(push_token as varchar) as push_token,
        cast(created_at as timestamp) as created_at,
        cast(updated_at as timestamp) as updated_at
    from source
)

select * from final
