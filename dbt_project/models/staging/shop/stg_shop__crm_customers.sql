with

source as (
    select * from {{ read_source(source('shop', 'crm_customers')) }}
),

final as (
    select
        cast(crm_id as string) as crm_id,
        cast(email as string) as email,
        cast(phone as string) as phone,
        cast(first_name as string) as first_name,
        cast(last_name as string) as last_name,
        cast(language as string) as language,
        cast(country as string) as country,
        cast(time_zone as string) as time_zone,
        cast(street as string) as street,
        cast(postal_code as string) as postal_code,
        cast(city as string) as city,
        cast(region as string) as region,
        cast(birth_date as date) as birth_date,
        cast(created_at as timestamp) as created_at,
        cast(updated_at as timestamp) as updated_at
    from source
)

select * from final
