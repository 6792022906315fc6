{{ config(
    materialized='incremental',
    full_refresh=false,
    incremental_strategy=replace_strategy(),
    unique_key='record_id',
    on_schema_change='append_new_columns',
    pre_hook="{{ keep_earlier(this) }}",
) }}
with

changed_records as (
    select * from {{ ref('int_identity__changed_records') }}
),

phone_numbers as (
    select * from {{ ref('int_identity__phone_numbers') }}
    where revision = {{ var('identity_revision') }}
),

trimmed as (
    select
        record_id,
        source,
        source_id,
        {{ email_address('email') }} as email,
        {{ trimmed('phone') }} as phone,
        {{ trimmed('device_id') }} as device_id,
        {{ trimmed('push_token') }} as push_token,
        {{ trimmed('first_name') }} as first_name,
        {{ trimmed('last_name') }} as last_name,
        lower(split_part({{ trimmed('language') }}, '-', 1)) as language,
        upper({{ trimmed('country') }}) as country,
        {{ trimmed('time_zone') }} as time_zone,
        {{ trimmed('street') }} as street,
        {{ trimmed('postal_code') }} as postal_code,
        {{ trimmed('city') }} as city,
        upper({{ trimmed('region') }}) as region,
        row_hash,
        is_removed,
        created_at,
        updated_at
    from changed_records
),

identified as (
    select
        trimmed.*,
        {{ email_identifier('trimmed.email') }} as email_identifier,
        phone_numbers.phone_identifier,
        coalesce(phone_numbers.problem = 'unknown_country', false) as is_phone_country_unknown
    from trimmed
    left join phone_numbers
        on
            trimmed.phone = phone_numbers.phone
            and coalesce(trimmed.country, '') = phone_numbers.country
),

-- What a source no longer has stays as an empty row: a row that is not written cannot replace another.
changed as (
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
        row_hash,
        {{ row_hash([
            "'" ~ identity_rules() ~ "'", 'email_identifier', 'phone_identifier', 'device_id', 'first_name',
            'last_name', 'created_at',
        ]) }} as identity_hash,
        is_phone_country_unknown,
        is_removed,
        created_at,
        updated_at,
        greatest({{ as_of() }}, {{ seconds_after(last_resolved_at(), 1) }}) as written_at
    from identified
),

final as (
    select * from changed
    {{ kept_rows(this, 'changed', ['record_id']) }}
)

select * from final
