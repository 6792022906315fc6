with

crm_customers as (
    select * from {{ ref('stg_shop__crm_customers') }}
),

shop_accounts as (
    select * from {{ ref('stg_shop__shop_accounts') }}
),

orders as (
    select * from {{ ref('stg_shop__orders') }}
),

countries as (
    select * from {{ ref('countries') }}
),

-- One record per address that ordered without an account: the person has no other record of it.
guests as (
    select
        {{ email_identifier(email_address('email')) }} as source_id,
        max({{ email_address('email') }}) as email,
        min(ordered_at) as created_at,
        max(ordered_at) as updated_at
    from orders
    where
        account_id is null
        and crm_id is null
        and ordered_at <= {{ as_of() }}
    group by 1
),

unioned as (
    select
        'crm' as source,
        crm_id as source_id,
        email,
        phone,
        first_name,
        last_name,
        language,
        country,
        time_zone,
        cast(null as string) as device_id,
        cast(null as string) as push_token,
        street,
        postal_code,
        city,
        created_at,
        updated_at
    from crm_customers
    union all
    select
        'shop' as source,
        account_id as source_id,
        email,
        phone,
        first_name,
        last_name,
        language,
        country,
        cast(null as string) as time_zone,
        device_id,
        push_token,
        cast(null as string) as street,
        cast(null as string) as postal_code,
        cast(null as string) as city,
        created_at,
        updated_at
    from shop_accounts
    union all
    select
        'order' as source,
        source_id,
        email,
        cast(null as string) as phone,
        cast(null as string) as first_name,
        cast(null as string) as last_name,
        cast(null as string) as language,
        cast(null as string) as country,
        cast(null as string) as time_zone,
        cast(null as string) as device_id,
        cast(null as string) as push_token,
        cast(null as string) as street,
        cast(null as string) as postal_code,
        cast(null as string) as city,
        created_at,
        updated_at
    from guests
    where source_id is not null
),

trimmed as (
    select
        source || '|' || source_id as record_id,
        source,
        source_id,
        {{ email_address('email') }} as email,
        {{ trimmed('phone') }} as phone,
        {{ phone_dialled('phone') }} as phone_dialled,
        {{ trimmed('first_name') }} as first_name,
        {{ trimmed('last_name') }} as last_name,
        lower(split_part({{ trimmed('language') }}, '-', 1)) as language,
        upper({{ trimmed('country') }}) as country,
        {{ trimmed('time_zone') }} as time_zone,
        {{ trimmed('device_id') }} as device_id,
        {{ trimmed('push_token') }} as push_token,
        {{ trimmed('street') }} as street,
        {{ trimmed('postal_code') }} as postal_code,
        {{ trimmed('city') }} as city,
        created_at,
        updated_at
    from unioned
),

numbered as (
    select
        trimmed.*,
        countries.time_zone as country_time_zone,
        countries.national_min_digits,
        countries.national_max_digits,
        '+' || countries.calling_code as country_prefix,
        {{ phone_e164('trimmed.phone_dialled', 'countries.calling_code', 'countries.trunk_prefix') }} as phone_e164
    from trimmed
    left join countries
        on trimmed.country = countries.country
),

-- A number with the country's own prefix must have the country's own length; of others E.164's bounds
-- are all we know.
checked as (
    select
        *,
        case
            when starts_with(phone_e164, country_prefix)
                then
                    length(phone_e164) - length(country_prefix)
                    between national_min_digits and national_max_digits
            else phone_e164 is not null
        end as is_phone
    from numbered
),

final as (
    select
        record_id,
        source,
        source_id,
        email,
        {{ email_identifier('email') }} as email_identifier,
        phone,
        case when is_phone then phone_e164 end as phone_identifier,
        device_id,
        push_token,
        first_name,
        last_name,
        language,
        country,
        coalesce(time_zone, country_time_zone) as time_zone,
        street,
        postal_code,
        city,
        phone is not null
        and phone_e164 is null
        and country_prefix is null
        and {{ regexp_found('phone_dialled', '^[0-9]{5,14}$') }} as is_phone_country_unknown,
        created_at,
        updated_at
    from checked
)

select * from final
