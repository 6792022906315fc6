with

source as (
    select * from {{ read_source(source('shop', 'crm_customers')) }}
),

final as (
    select
        cast(crm_id as varchar) as crm_id,
        cast(email as varchar) as email,
        cast(phone as varchar) as phone,
        cast(first_name as varchar) as first_name,
        cast(last_name as varchar) as last_name,
        cast(language as varchar) as language,
        cast(country as varchar) as country,
        cast(time_zone as varchar) as time_zone,
        cast(street as varchar) as street,
        cast(postal_code as varchar) as postal_code,
        cast(city as varchar) as city,
        cast(birth_date as date) as birth_date,
        cast(created_at as timestamp) as created_at,
        cast(updated_at as timestamp) as updated_at
    from source
)

select * from final
