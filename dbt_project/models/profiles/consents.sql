with

answers as (
    select * from {{ ref('stg_shop__consents') }}
),

profile_identifiers as (
    select * from {{ ref('profile_identifiers') }}
),

normalised as (
    select
        consent_id,
        lower({{ trimmed('namespace') }}) as namespace,
        case lower({{ trimmed('namespace') }})
            when 'email' then {{ email_identifier(email_address('identifier')) }}
            when 'phone' then {{ phone_dialled('identifier') }}
            else {{ trimmed('identifier') }}
        end as identifier,
        lower({{ trimmed('channel') }}) as channel,
        lower({{ trimmed('topic') }}) as topic,
        lower({{ trimmed('consent_status') }}) as consent_status,
        consent_source,
        recorded_at
    from answers
    where recorded_at <= {{ as_of() }}
),

holders as (
    select distinct
        namespace,
        identifier,
        profile_id
    from profile_identifiers
),

owners as (
    select
        namespace,
        identifier,
        profile_id,
        count(*) over (partition by namespace, identifier) as holders_count
    from holders
),

-- Who shares a number with others can refuse for all of them, but not agree for them.
attributed as (
    select
        owners.profile_id,
        normalised.consent_id,
        normalised.channel,
        normalised.topic,
        normalised.consent_status,
        normalised.consent_source,
        normalised.recorded_at
    from normalised
    inner join owners
        on
            normalised.namespace = owners.namespace
            and normalised.identifier = owners.identifier
    where
        owners.holders_count = 1
        or normalised.consent_status = 'no'
),

-- The latest answer holds; of two at the same instant the no.
ordered as (
    select
        *,
        row_number() over (
            partition by profile_id, channel, topic
            order by
                recorded_at desc,
                case when consent_status = 'no' then 0 else 1 end asc,
                consent_id desc
        ) as recency
    from attributed
),

final as (
    select
        cast(profile_id as string) as profile_id,
        cast(channel as string) as channel,
        cast(topic as string) as topic,
        cast(consent_status as string) as status,
        cast(consent_source as string) as source,
        cast(recorded_at as timestamp) as recorded_at
    from ordered
    where recency = 1
)

select * from final
