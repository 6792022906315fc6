-- The account for every person: each decision with what became of it. A view, so that it can never say
-- something else than the two records it is made of.
{{ config(materialized='view', meta={'is_view_on_spark': true}) }}

with

decisions as (
    select * from {{ ref('decisions') }}
),

deliveries as (
    select * from {{ ref('deliveries') }}
),

final as (
    select
        cast(decisions.message_id as string) as message_id,
        cast(decisions.run_key as string) as run_key,
        cast(decisions.campaign as string) as campaign,
        cast(decisions.profile_id as string) as profile_id,
        cast(decisions.entity_id as string) as entity_id,
        cast(decisions.channel as string) as channel,
        -- Where a champion was sent in place of the person's own variant, the one that they have read.
        cast(
            case
                when deliveries.message_state = 'withheld' then decisions.variant
                else coalesce(deliveries.variant, decisions.variant)
            end as string
        ) as variant,
        cast(
            case
                when decisions.verdict = 'holdout' then 'holdout'
                when decisions.verdict = 'exclude' then 'excluded'
                when deliveries.message_state = 'accepted' then 'sent'
                when deliveries.message_state in ('failed', 'withheld', 'unknown') then deliveries.message_state
                -- Claimed, deferred, or not in the ledger yet.
                else 'pending'
            end as string
        ) as outcome,
        cast(coalesce(decisions.reason, deliveries.delivery_reason) as string) as reason,
        cast(deliveries.provider_id as string) as provider_id,
        cast(deliveries.code as string) as code,
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
