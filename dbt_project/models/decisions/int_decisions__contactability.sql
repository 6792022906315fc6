-- Whether the person may be contacted on the channel: allow list, suppression and consent as the run's topic
-- needs it, and whether every rule up to here is passed.
with

runs as (
    select
        run_key,
        consent,
        is_allow_listed
    from {{ ref('stg_operations__runs') }}
),

lines as (
    select * from {{ ref('int_decisions__answers') }}
),

allow_list as (
    select distinct entry
    from {{ ref('stg_operations__allow_list') }}
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
        runs.consent,
        suppressions.suppression_reason,
        runs.is_allow_listed
        and lines.has_address
        and allowed_addresses.entry is null
        and allowed_domains.entry is null as is_not_on_allow_list,
        case
            when lines.granted_at is null and lines.denied_at is null then 'unknown'
            when lines.denied_at is null or lines.granted_at > lines.denied_at then 'yes'
            -- A yes and a no of the same instant are a no.
            else 'no'
        end as consent_status
    from lines
    inner join runs on lines.run_key = runs.run_key
    left join suppressions
        on
            lines.channel = suppressions.channel
            and lines.address_key = suppressions.address_key
    left join allow_list as allowed_addresses
        on lines.address_key = allowed_addresses.entry
    left join allow_list as allowed_domains
        on
            lines.channel = 'email'
            and concat('@', split_part(lines.address_key, '@', -1)) = allowed_domains.entry
),

asked as (
    select
        *,
        consent_status = 'no' as is_consent_denied,
        consent_status = 'unknown' and consent = 'yes' as is_consent_unknown
    from marked
),

final as (
    select
        *,
        excluded_by_segment is null
        and already_sent_at is null
        and not is_not_in_sample
        and has_address
        and is_address_valid
        and not is_not_on_allow_list
        and suppression_reason is null
        and not is_consent_denied
        and not is_consent_unknown as is_contactable
    from asked
)

select * from final
