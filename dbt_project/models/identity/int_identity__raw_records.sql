{{ config(materialized='view') }}
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

-- Orders outnumber addresses by far: each spelling is normalised once.
guest_spellings as (
    select
        {{ email_address('email') }} as email,
        min(ordered_at) as first_ordered_at,
        max(ordered_at) as last_ordered_at
    from orders
    where
        account_id is null
        and crm_id is null
        and ordered_at <= {{ as_of() }}
    group by 1
),

-- One record per mailbox that ordered without an account: the person has no other record of it.
guests as (
    select
        {{ email_identifier('email') }} as source_id,
        max(email) as email,
        min(first_ordered_at) as created_at,
        max(last_ordered_at) as updated_at
    from guest_spellings
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
        region,
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
        cast(null as string) as region,
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
        cast(null as string) as region,
        created_at,
        updated_at
    from guests
    where source_id is not null
),

final as (
    select
        unioned.source || '|' || unioned.source_id as record_id,
        unioned.*,
        {{ row_hash([
            "'" ~ identity_rules() ~ "'", 'email', 'phone', 'first_name', 'last_name', 'language', 'country',
            'time_zone', 'device_id', 'push_token', 'street', 'postal_code', 'city', 'region', 'created_at',
            'updated_at',
        ]) }} as row_hash
    from unioned
)

select * from final
