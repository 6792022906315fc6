with

source as (
    select * from {{ read_source(source('shop', 'shop_accounts')) }}
),

final as (
    select
        cast(account_id as string) as account_id,
        cast(device_id as string) as device_id,
        cast(email as string) as email,
        cast(phone as string) as phone,
        cast(first_name as string) as first_name,
        cast(last_name as string) as last_name,
        cast(language as string) as language,
        cast(country as string) as country,
        cast(push_token as string) as push_token,
        cast(created_at as timestamp) as created_at,
        cast(updated_at as timestamp) as updated_at
    from source
)

select * from final
