with

profile_records as (
    select * from {{ ref('int_profiles__records') }}
),

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
        trust_rank,
        updated_at
    from profile_records
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
        trust_rank,
        updated_at
    from profile_records
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
        trust_rank,
        updated_at
    from profile_records
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
        trust_rank,
        updated_at
    from profile_records
    where coalesce(street, postal_code, city) is not null
),

-- An address of everybody is nobody's: whoever reads it did not ask.
judged as (
    select
        candidates.profile_id,
        case candidates.channel when 'phone' then 'sms' else candidates.channel end as channel,
        candidates.address,
        coalesce(
            candidates.invalid_reason,
            case when overshared_identifiers.identifier is not null then 'overshared' end
        ) as invalid_reason,
        candidates.source,
        candidates.trust_rank,
        candidates.updated_at
    from candidates
    left join overshared_identifiers
        on
            candidates.channel = overshared_identifiers.namespace
            and candidates.identifier = overshared_identifiers.identifier
),

ordered as (
    select
        *,
        row_number() over (
            partition by profile_id, channel
            order by
                case when invalid_reason is null then 0 else 1 end asc,
                trust_rank desc
        ) as choice
    from judged
),

final as (
    select
        cast(profile_id as string) as profile_id,
        cast(channel as string) as channel,
        cast(address as string) as address,
        cast(invalid_reason is null as boolean) as is_valid,
        cast(invalid_reason as string) as invalid_reason,
        cast(source as string) as source,
        cast(updated_at as timestamp) as updated_at
    from ordered
    where choice = 1
)

select * from final
