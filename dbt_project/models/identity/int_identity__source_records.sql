{{ config(materialized='view') }}
with

known_records as (
    select * from {{ ref('int_identity__known_records') }}
),

final as (
    select
        record_id,
        source,
        source_id,
        email,
        email_identifier,
        phone,
        phone_identifier,
        device_id,
        push_token,
        first_name,
        last_name,
        language,
        country,
        time_zone,
        street,
        postal_code,
        city,
        region,
        identity_hash,
        is_phone_country_unknown,
        created_at,
        updated_at
    from known_records
    where not is_removed
)

select * from final
