-- The lines with what each person has answered about the run's topic on the channel, and when: the latest yes and
-- the latest no. Answers are the consents of the warehouse, and the opt-outs and opt-ins of the operational store; the
-- topic '*' is about every topic that needs consent: who wants no more marketing still gets what carries out
-- an order, until they decline that very topic. What somebody has said under an id by which they went before they were
-- merged is theirs: links of old messages name it for good.
--
-- Consents have one line per person, channel and topic, so they are joined as they are: a line has two at most.
-- depends_on: {{ ref('int_decisions__candidates') }}
{%- set is_about_few = open_runs_are_about_few() %}

with

runs as (
    select
        run_key,
        topic,
        decided_at,
        consent = 'exempt' as is_exempt,
        case when consent <> 'exempt' then '*' end as every_topic
    from {{ ref('stg_operations__runs') }}
),

lines as (
    select * from {{ ref('int_decisions__channels') }}
),

consents as (
    select
        profile_id,
        channel,
        topic,
        status,
        recorded_at
    from {{ ref('consents') }}
    {%- if is_about_few %}
    where profile_id in (select candidates.profile_id from {{ ref('int_decisions__candidates') }} as candidates)
    {%- endif %}
),

asked_topics as (
    select distinct
        topic,
        is_exempt
    from runs
),

redirects as (
    select
        profile_id,
        current_profile_id
    from {{ ref('profile_redirects') }}
),

opt_outs as (
    select
        asked_topics.topic,
        asked_topics.is_exempt,
        coalesce(redirects.current_profile_id, opt_outs.profile_id) as profile_id,
        opt_outs.channel,
        lower(trim(opt_outs.address)) as address_key,
        opt_outs.recorded_at
    from {{ ref('stg_operations__opt_outs') }} as opt_outs
    inner join asked_topics
        on
            opt_outs.topic = asked_topics.topic
            or (opt_outs.topic = '*' and not asked_topics.is_exempt)
    left join redirects on opt_outs.profile_id = redirects.profile_id
),

people_out as (
    select
        topic,
        is_exempt,
        profile_id,
        channel,
        max(recorded_at) as denied_at
    from opt_outs
    where profile_id is not null
    group by
        topic,
        is_exempt,
        profile_id,
        channel
),

addresses_out as (
    select
        topic,
        is_exempt,
        channel,
        address_key,
        max(recorded_at) as denied_at
    from opt_outs
    group by
        topic,
        is_exempt,
        channel,
        address_key
),

-- Read once more by each run: a yes counts from its instant on.
people_in as (
    select
        runs.run_key,
        coalesce(redirects.current_profile_id, opt_ins.profile_id) as profile_id,
        opt_ins.channel,
        max(opt_ins.recorded_at) as granted_at
    from {{ ref('stg_operations__opt_ins') }} as opt_ins
    inner join runs
        on
            (opt_ins.topic = runs.topic or opt_ins.topic = runs.every_topic)
            and opt_ins.recorded_at <= runs.decided_at
    left join redirects on opt_ins.profile_id = redirects.profile_id
    group by
        runs.run_key,
        coalesce(redirects.current_profile_id, opt_ins.profile_id),
        opt_ins.channel
),

final as (
    select
        lines.*,
        -- A yes counts from its instant on, a no at once: a source with a wrong clock must not outrank an
        -- opt-out of today. (greatest passes over nulls.)
        greatest(
            case
                when about_topic.status = 'yes' and about_topic.recorded_at <= runs.decided_at
                    then about_topic.recorded_at
            end,
            case
                when about_all.status = 'yes' and about_all.recorded_at <= runs.decided_at
                    then about_all.recorded_at
            end,
            people_in.granted_at
        ) as granted_at,
        greatest(
            case when about_topic.status = 'no' then about_topic.recorded_at end,
            case when about_all.status = 'no' then about_all.recorded_at end,
            people_out.denied_at,
            addresses_out.denied_at
        ) as denied_at
    from lines
    inner join runs on lines.run_key = runs.run_key
    left join consents as about_topic
        on
            lines.profile_id = about_topic.profile_id
            and lines.channel = about_topic.channel
            and runs.topic = about_topic.topic
    left join consents as about_all
        on
            lines.profile_id = about_all.profile_id
            and lines.channel = about_all.channel
            and runs.every_topic = about_all.topic
    left join people_in
        on
            lines.run_key = people_in.run_key
            and lines.profile_id = people_in.profile_id
            and lines.channel = people_in.channel
    left join people_out
        on
            lines.profile_id = people_out.profile_id
            and lines.channel = people_out.channel
            and runs.topic = people_out.topic
            and runs.is_exempt = people_out.is_exempt
    left join addresses_out
        on
            lines.address_key = addresses_out.address_key
            and lines.channel = addresses_out.channel
            and runs.topic = addresses_out.topic
            and runs.is_exempt = addresses_out.is_exempt
)

select * from final
