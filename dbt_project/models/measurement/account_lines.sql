-- The account for every person: each decision with what became of it. A view, so that it can never say
-- something else than the two records it is made of.
{{ config(materialized='view') }}

with

decisions as (
    select * from {{ ref('decisions') }}
),

deliveries as (
    select * from {{ ref('deliveries') }}
),

final as (
    select
        cast(decisions.message_id as varchar) as message_id,
        cast(decisions.run_key as varchar) as run_key,
        cast(decisions.campaign as varchar) as campaign,
        cast(decisions.profile_id as varchar) as profile_id,
        cast(decisions.entity_id as varchar) as entity_id,
        cast(decisions.channel as varchar) as channel,
        cast(decisions.variant as varchar) as variant,
        cast(
            case
                when decisions.verdict = 'holdout' then 'holdout'
                when decisions.verdict = 'exclude' then 'excluded'
                when deliveries.message_state = 'accepted' then 'sent'
                when deliveries.message_state in ('failed', 'withheld', 'unknown') then deliveries.message_state
                -- Claimed, deferred, or not in the ledger yet.
                else 'pending'
            end as varchar
        ) as outcome,
        cast(coalesce(decisions.reason, deliveries.delivery_reason) as varchar) as reason,
        cast(deliveries.provider_id as varchar) as provider_id,
        cast(deliveries.code as varchar) as code,
        cast(decisions.batch_number as integer) as batch_number,
        cast(deliveries.attempts_count as integer) as attempts_count,
        cast(decisions.decided_at as timestamp) as decided_at,
        cast(deliveries.first_claimed_at as timestamp) as first_claimed_at,
        cast(deliveries.settled_at as timestamp) as settled_at
    from decisions
    left join deliveries
        on
            decisions.message_id = deliveries.message_id
            -- Implied by message_id; lets the engine skip other runs on both sides.
            and decisions.run_key = deliveries.run_key
)

select * from final
