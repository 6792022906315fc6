-- Whether the person may be contacted on the channel: consent and suppression, and whether every rule
-- up to here is passed.
with

lines as (
    select * from {{ ref('int_decisions__channels') }}
),

answers as (
    select * from {{ ref('int_decisions__answers') }}
),

suppressions as (
    select
        channel,
        lower(trim(address)) as address_key,
        -- Several can hold for one address; the first by name stands for them.
        min(suppression_reason) as suppression_reason
    from {{ ref('stg_operations__suppressions') }}
    group by
        channel,
        lower(trim(address))
),

marked as (
    select
        lines.*,
        suppressions.suppression_reason,
        case
            when answers.granted_at is null and answers.denied_at is null then 'unknown'
            when answers.denied_at is null or answers.granted_at > answers.denied_at then 'yes'
            -- A yes and a no of the same instant are a no.
            else 'no'
        end as consent_status
    from lines
    left join answers
        on
            lines.run_key = answers.run_key
            and lines.profile_id = answers.profile_id
            and lines.entity_id = answers.entity_id
            and lines.channel = answers.channel
    left join suppressions
        on
            lines.channel = suppressions.channel
            and lines.address_key = suppressions.address_key
),

final as (
    select
        *,
        excluded_by_segment is null
        and has_address
        and is_address_valid
        and suppression_reason is null
        and consent_status = 'yes' as is_contactable
    from marked
)

select * from final
