-- What earlier runs and journeys have sent or still will, as far back as a rule of an open run asks: every `send`
-- line but those that failed or were withheld, and those of a stopped run that had not left when it was stopped. What
-- is decided and not yet sent is reserved. A person who was merged since is who they are now. Which messages of
-- journeys count is said where they are exported, of the instant of this decision.
--
-- The horizon is in the query twice: as a number that the engine knows before it opens a file, so that it leaves
-- out what is older, and as a subquery, which is the rule.
with

horizon as (
    select min(history_from) as history_from
    from {{ ref('stg_operations__runs') }}
),

decisions as (
    select
        message_id,
        run_key,
        campaign,
        profile_id,
        entity_id,
        channel,
        send_at
    from {{ ref('stg_operations__earlier_decisions') }}
    where
        verdict = 'send'
        and send_at >= (select horizon.history_from from horizon)
        and send_at >= {{ earliest_asked() }}
),

runs as (
    select
        run_key,
        topic
    from {{ ref('stg_operations__earlier_runs') }}
),

redirects as (
    select
        profile_id,
        current_profile_id
    from {{ ref('profile_redirects') }}
),

ledger_news as (
    select
        message_id,
        message_state
    from {{ ref('stg_operations__ledger_news') }}
),

released as (
    select message_id
    from {{ ref('stg_operations__ledger') }}
    where message_state in ('failed', 'withheld')
    union distinct
    select message_id
    from ledger_news
    where message_state in ('failed', 'withheld')
),

-- Of a stopped run only what had left counts.
stopped as (
    select run_key
    from {{ ref('stg_operations__stopped_runs') }}
),

of_journeys as (
    select
        message_id,
        run_key,
        campaign,
        topic,
        profile_id,
        entity_id,
        channel,
        send_at
    from {{ ref('stg_operations__journey_messages') }}
    where
        is_counted
        and send_at >= (select horizon.history_from from horizon)
        and send_at >= {{ earliest_asked() }}
),

of_runs as (
    select
        decisions.message_id,
        decisions.run_key,
        decisions.campaign,
        runs.topic,
        decisions.profile_id,
        decisions.entity_id,
        decisions.channel,
        decisions.send_at
    from decisions
    inner join runs on decisions.run_key = runs.run_key
    left join released on decisions.message_id = released.message_id
    left join stopped on decisions.run_key = stopped.run_key
    where
        released.message_id is null
        and (
            stopped.run_key is null
            or decisions.message_id in (select ledger_news.message_id from ledger_news)
        )
),

final as (
    select
        messages.message_id,
        messages.run_key,
        messages.campaign,
        messages.topic,
        coalesce(redirects.current_profile_id, messages.profile_id) as profile_id,
        messages.entity_id,
        messages.channel,
        messages.send_at
    from (
        select * from of_runs
        union all
        select * from of_journeys
    ) as messages
    left join redirects on messages.profile_id = redirects.profile_id
)

select * from final
