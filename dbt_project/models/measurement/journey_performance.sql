-- What each message step of each journey came to, day by day, and what came back about it. Small: a line per day, step,
-- version and variant.
{{ config(materialized='table') }}

with

counted as (
    select * from {{ ref('int_measurement__journey_counts') }}
),

reactions as (
    select * from {{ ref('int_measurement__reactions') }}
    where journey_step is not null
),

final as (
    select
        cast(counted.run_key as string) as run_key,
        cast(counted.journey as string) as journey,
        cast(counted.step as string) as step,
        cast(counted.channel as string) as channel,
        cast(counted.variant as string) as variant,
        cast(counted.version as integer) as version,
        cast(counted.considered_count as bigint) as considered_count,
        cast(counted.sent_count as bigint) as sent_count,
        cast(counted.global_holdout_count as bigint) as global_holdout_count,
        cast(counted.excluded_count as bigint) as excluded_count,
        cast(counted.failed_count as bigint) as failed_count,
        cast(counted.withheld_count as bigint) as withheld_count,
        cast(counted.unknown_count as bigint) as unknown_count,
        cast(counted.pending_count as bigint) as pending_count,
        cast(coalesce(reactions.delivered_count, 0) as bigint) as delivered_count,
        cast(coalesce(reactions.bounced_count, 0) as bigint) as bounced_count,
        cast(coalesce(reactions.hard_bounced_count, 0) as bigint) as hard_bounced_count,
        cast(coalesce(reactions.soft_bounced_count, 0) as bigint) as soft_bounced_count,
        cast(coalesce(reactions.blocked_count, 0) as bigint) as blocked_count,
        cast(coalesce(reactions.undetermined_bounced_count, 0) as bigint) as undetermined_bounced_count,
        cast(coalesce(reactions.complained_count, 0) as bigint) as complained_count,
        cast(coalesce(reactions.opened_count, 0) as bigint) as opened_count,
        cast(coalesce(reactions.clicked_count, 0) as bigint) as clicked_count,
        cast(coalesce(reactions.unsubscribed_count, 0) as bigint) as unsubscribed_count,
        cast(coalesce(reactions.replied_count, 0) as bigint) as replied_count,
        cast(coalesce(reactions.automated_opened_count, 0) as bigint) as automated_opened_count,
        cast(coalesce(reactions.automated_clicked_count, 0) as bigint) as automated_clicked_count,
        cast(100.0 * counted.sent_count / counted.considered_count as double) as sent_percent,
        cast(counted.reached_date as date) as reached_date,
        cast(counted.exported_at as timestamp) as exported_at
    from counted
    left join reactions
        on
            counted.run_key = reactions.run_key
            and counted.step = reactions.journey_step
            and counted.version = reactions.journey_version
            and counted.channel = reactions.channel
            and coalesce(counted.variant, '') = coalesce(reactions.variant, '')
)

select * from final
