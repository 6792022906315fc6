-- The records are read in place, once for each channel: DuckDB copies a CTE that is read more than once.
with

overshared_identifiers as (
    select * from {{ ref('overshared_identifiers') }}
),

candidates as (
    select
        profile_id,
        'email' as channel,
        email as address,
        email_identifier as identifier,
        case when email_identifier is null then 'syntax' end as invalid_reason,
        source,
        {{ survivorship_rank('email') }} as choice_rank,
        updated_at
    from {{ ref('int_profiles__records') }}
    where email is not null
    union all
    select
        profile_id,
        'phone' as channel,
        coalesce(phone_identifier, phone) as address,
        phone_identifier as identifier,
        case
            when phone_identifier is not null then null
            when is_phone_country_unknown then 'unknown_country'
            else 'syntax'
        end as invalid_reason,
        source,
        {{ survivorship_rank('phone') }} as choice_rank,
        updated_at
    from {{ ref('int_profiles__records') }}
    where phone is not null
    union all
    select
        profile_id,
        'push' as channel,
        push_token as address,
        cast(null as string) as identifier,
        case
            when not {{ regexp_found('push_token', '^[!-~]+$') }} or length(push_token) not between 16 and 4096
                then 'syntax'
        end as invalid_reason,
        source,
        {{ survivorship_rank('push_token') }} as choice_rank,
        updated_at
    from {{ ref('int_profiles__records') }}
    where push_token is not null
    union all
    select
        profile_id,
        'direct_mail' as channel,
        concat_ws(', ', street, concat_ws(' ', postal_code, city), country) as address,
        cast(null as string) as identifier,
        case
            when street is null or postal_code is null or city is null or country is null then 'incomplete'
        end as invalid_reason,
        source,
        {{ survivorship_rank('postal_address') }} as choice_rank,
        updated_at
    from {{ ref('int_profiles__records') }}
    where coalesce(street, postal_code, city) is not null
),

-- An address of everybody is nobody's: whoever reads it did not ask.
final as (
    select
        candidates.profile_id,
        case candidates.channel when 'phone' then 'sms' else candidates.channel end as channel,
        candidates.address,
        candidates.identifier,
        coalesce(
            candidates.invalid_reason,
            case when overshared_identifiers.identifier is not null then 'overshared' end
        ) as invalid_reason,
        candidates.source,
        candidates.choice_rank,
        candidates.updated_at
    from candidates
    left join overshared_identifiers
        on
            candidates.channel = overshared_identifiers.namespace
            and candidates.identifier = overshared_identifiers.identifier
)

select * from final
