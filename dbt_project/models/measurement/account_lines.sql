-- The account for every person: each decision with what became of it, of campaigns and of journeys. A view, so that
-- it can never say something else than the records it is made of.
{{ config(materialized='view', meta={'is_view_on_spark': true}) }}

with

decisions as (
    select * from {{ ref('decisions') }}
),

journey_messages as (
    select * from {{ ref('journey_messages') }}
),

deliveries as (
    select * from {{ ref('deliveries') }}
),

decided as (
    select
        message_id,
        run_key,
        campaign,
        profile_id,
        entity_id,
        channel,
        variant,
        verdict,
        reason,
        batch_number,
        decided_at,
        cast(null as timestamp) as settled_at,
        false as is_withheld
    from decisions
    union all
    select
        message_id,
        run_key,
        campaign,
        profile_id,
        entity_id,
        channel,
        variant,
        verdict,
        reason,
        batch_number,
        reached_at as decided_at,
        settled_at,
        -- Too late, or the person left before it did: the ledger has never heard of it, or waits in vain.
        verdict = 'send' and reason is not null as is_withheld
    from journey_messages
),

final as (
    select
        cast(decided.message_id as string) as message_id,
        cast(decided.run_key as string) as run_key,
        cast(decided.campaign as string) as campaign,
        cast(decided.profile_id as string) as profile_id,
        cast(decided.entity_id as string) as entity_id,
        cast(decided.channel as string) as channel,
        -- Where a champion was sent in place of the person's own variant, the one that they have read.
        cast(
            case
                when deliveries.message_state = 'withheld' then decided.variant
                else coalesce(deliveries.variant, decided.variant)
            end as string
        ) as variant,
        cast(
            case
                when decided.verdict = 'holdout' then 'holdout'
                when decided.verdict = 'exclude' then 'excluded'
                when deliveries.message_state = 'accepted' then 'sent'
                when deliveries.message_state in ('failed', 'withheld', 'unknown') then deliveries.message_state
                when decided.is_withheld then 'withheld'
                -- Claimed, deferred, or not in the ledger yet.
                else 'pending'
            end as string
        ) as outcome,
        cast(coalesce(decided.reason, deliveries.delivery_reason) as string) as reason,
        cast(deliveries.provider_id as string) as provider_id,
        cast(deliveries.code as string) as code,
        cast(decided.batch_number as integer) as batch_number,
        cast(deliveries.attempts_count as integer) as attempts_count,
        cast(decided.decided_at as timestamp) as decided_at,
        cast(deliveries.first_claimed_at as timestamp) as first_claimed_at,
        cast(coalesce(deliveries.settled_at, decided.settled_at) as timestamp) as settled_at
    from decided
    left join deliveries
        on
            decided.message_id = deliveries.message_id
            -- Implied by message_id; lets the engine skip other runs on both sides.
            and decided.run_key = deliveries.run_key
)

select * from final
