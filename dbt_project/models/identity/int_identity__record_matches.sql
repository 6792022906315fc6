with

source_records as (
    select * from {{ ref('int_identity__source_records') }}
),

overshared_identifiers as (
    select * from {{ ref('overshared_identifiers') }}
),

-- Records of one match key are one person. A phone number alone is a household's; together with the
-- first name it is a person's.
keyed as (
    select
        record_id,
        'email' as namespace,
        email_identifier as identifier,
        'email|' || email_identifier as match_key
    from source_records
    where email_identifier is not null
    union all
    select
        record_id,
        'phone' as namespace,
        phone_identifier as identifier,
        'phone|' || phone_identifier || '|' || lower({{ regexp_replace_all('first_name', '\\s+', ' ') }}) as match_key
    from source_records
    where
        phone_identifier is not null
        and first_name is not null
),

final as (
    select
        keyed.record_id,
        keyed.match_key
    from keyed
    left join overshared_identifiers
        on
            keyed.namespace = overshared_identifiers.namespace
            and keyed.identifier = overshared_identifiers.identifier
    where overshared_identifiers.identifier is null
)

select * from final
