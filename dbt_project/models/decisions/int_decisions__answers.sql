-- What each person has answered about the run's topic on the channel, and when: the latest yes and the
-- latest no. Answers are the consents of the warehouse, and the opt-outs and opt-ins of the operational store; the
-- topic '*' is about every topic that needs consent: who wants no more marketing still gets what carries out
-- an order, until they decline that very topic.
with

runs as (
    select
        run_key,
        topic,
        consent,
        decided_at
    from {{ ref('stg_operations__runs') }}
),

lines as (
    select
        run_key,
        profile_id,
        entity_id,
        channel,
        address_key
    from {{ ref('int_decisions__channels') }}
),

consents as (
    select
        profile_id,
        channel,
        topic,
        status,
        recorded_at
    from {{ ref('consents') }}
),

opt_ins as (
    select
        profile_id,
        channel,
        topic,
        recorded_at
    from {{ ref('stg_operations__opt_ins') }}
),

opt_outs as (
    select
        profile_id,
        channel,
        topic,
        recorded_at,
        lower(trim(address)) as address_key
    from {{ ref('stg_operations__opt_outs') }}
),

by_profile as (
    select
        profile_id,
        channel,
        topic,
        status,
        recorded_at
    from consents
    union all
    select
        profile_id,
        channel,
        topic,
        'no' as status,
        recorded_at
    from opt_outs
    where profile_id is not null
    union all
    select
        profile_id,
        channel,
        topic,
        'yes' as status,
        recorded_at
    from opt_ins
),

matched as (
    select
        lines.run_key,
        lines.profile_id,
        lines.entity_id,
        lines.channel,
        by_profile.status,
        by_profile.recorded_at
    from lines
    inner join runs on lines.run_key = runs.run_key
    inner join by_profile
        on
            lines.profile_id = by_profile.profile_id
            and lines.channel = by_profile.channel
            and by_profile.topic in (runs.topic, '*')
    where
        (by_profile.topic = runs.topic or runs.consent <> 'exempt')
        -- A yes counts from its instant on, a no at once: a source with a wrong clock must not outrank
        -- an opt-out of today.
        and (by_profile.status = 'no' or by_profile.recorded_at <= runs.decided_at)
    union all
    select
        lines.run_key,
        lines.profile_id,
        lines.entity_id,
        lines.channel,
        'no' as status,
        opt_outs.recorded_at
    from lines
    inner join runs on lines.run_key = runs.run_key
    inner join opt_outs
        on
            lines.channel = opt_outs.channel
            and lines.address_key = opt_outs.address_key
            and opt_outs.topic in (runs.topic, '*')
    where opt_outs.topic = runs.topic or runs.consent <> 'exempt'
),

final as (
    select
        run_key,
        profile_id,
        entity_id,
        channel,
        max(case when status = 'yes' then recorded_at end) as granted_at,
        max(case when status = 'no' then recorded_at end) as denied_at
    from matched
    group by
        run_key,
        profile_id,
        entity_id,
        channel
)

select * from final
