with

answers as (
    select * from {{ ref('stg_shop__consents') }}
),

arrivals as (
    select * from {{ ref('int_profiles__consent_arrivals') }}
),

holders as (
    select * from {{ ref('int_profiles__holders') }}
),

given as (
    select
        consent_id,
        namespace,
        identifier,
        lower({{ trimmed('channel') }}) as channel,
        lower({{ trimmed('topic') }}) as topic,
        lower({{ trimmed('consent_status') }}) as consent_status,
        consent_source,
        recorded_at
    from answers
    where recorded_at <= {{ as_of() }}
),

normalised as (
    {{ with_named_identifier('given') }}
),

-- Who shares an identifier with others can refuse for all of them, but not agree for them.
attributed as (
    select
        holders.profile_id,
        normalised.consent_id,
        normalised.channel,
        normalised.topic,
        normalised.consent_status,
        normalised.consent_source,
        normalised.recorded_at
    from normalised
    inner join holders
        on
            normalised.named_namespace = holders.namespace
            and normalised.named_identifier = holders.identifier
    where
        not holders.is_shared
        or normalised.consent_status = 'no'
),

-- In the order in which they were given, whenever they arrived; of two at the same instant the no is last.
ordered as (
    select
        *,
        lead(recorded_at) over (
            partition by profile_id, channel, topic
            order by
                recorded_at asc,
                case when consent_status = 'no' then 1 else 0 end asc,
                consent_id asc
        ) as superseded_at
    from attributed
),

final as (
    select
        cast(ordered.profile_id as string) as profile_id,
        cast(ordered.consent_id as string) as consent_id,
        cast(ordered.channel as string) as channel,
        cast(ordered.topic as string) as topic,
        cast(ordered.consent_status as string) as status,
        cast(ordered.consent_source as string) as source,
        cast(ordered.recorded_at as timestamp) as recorded_at,
        cast(ordered.superseded_at as timestamp) as superseded_at,
        cast(arrivals.known_from as timestamp) as known_from
    from ordered
    inner join arrivals
        on ordered.consent_id = arrivals.consent_id
)

select * from final
