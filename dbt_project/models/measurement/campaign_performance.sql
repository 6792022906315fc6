{{ config(materialized='table') }}

with

run_counts as (
    select * from {{ ref('int_measurement__run_counts') }}
),

decided_runs as (
    select * from {{ ref('decided_runs') }}
),

reactions as (
    select * from {{ ref('int_measurement__reactions') }}
    where journey_step is null
),

counted as (
    select
        run_key,
        campaign,
        channel,
        variant,
        sum(lines_count) as considered_count,
        sum(case when outcome = 'sent' then lines_count else 0 end) as sent_count,
        -- Apart: who is held out of everything is no control group of one campaign.
        sum(case when outcome = 'holdout' and reason = 'holdout' then lines_count else 0 end) as holdout_count,
        sum(case when outcome = 'holdout' and reason = 'global_holdout' then lines_count else 0 end)
            as global_holdout_count,
        sum(case when outcome = 'excluded' then lines_count else 0 end) as excluded_count,
        sum(case when outcome = 'failed' then lines_count else 0 end) as failed_count,
        sum(case when outcome = 'withheld' then lines_count else 0 end) as withheld_count,
        sum(case when outcome = 'unknown' then lines_count else 0 end) as unknown_count,
        sum(case when outcome = 'pending' then lines_count else 0 end) as pending_count
    from run_counts
    group by
        run_key,
        campaign,
        channel,
        variant
),

final as (
    select
        cast(counted.campaign as string) as campaign,
        cast(counted.run_key as string) as run_key,
        cast(counted.channel as string) as channel,
        cast(counted.variant as string) as variant,
        cast(counted.considered_count as bigint) as considered_count,
        cast(counted.sent_count as bigint) as sent_count,
        cast(counted.holdout_count as bigint) as holdout_count,
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
        cast(decided_runs.logical_at as timestamp) as logical_at,
        cast(decided_runs.decided_at as timestamp) as decided_at
    from counted
    inner join decided_runs on counted.run_key = decided_runs.run_key
    left join reactions
        on
            counted.run_key = reactions.run_key
            and counted.channel = reactions.channel
            and coalesce(counted.variant, '') = coalesce(reactions.variant, '')
)

select * from final
