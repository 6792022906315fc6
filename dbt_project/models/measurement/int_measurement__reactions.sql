-- What came back about messages, per run, or day of a journey, and what it sent: distinct messages of each kind, a
-- machine's opens and clicks apart from people's. Feedback is kept for a while only and counts stay, so a run is
-- counted again when there is news of it, and never with less feedback than it was counted with before.
--
-- News is feedback beyond the last position that was counted, or another state of the ledger: what came back about a
-- message before its delivery was recorded is counted with it.
{{
    config(
        materialized='incremental',
        incremental_strategy=replace_strategy(),
        unique_key='run_key',
        partition_by=replaced_partition('run_key'),
        full_refresh=false,
        on_schema_change='append_new_columns',
    )
}}

with

feedback as (
    select * from {{ ref('stg_operations__feedback') }}
    where message_id is not null
),

deliveries as (
    select
        message_id,
        run_key,
        exported_at
    from {{ ref('deliveries') }}
),

journey_messages as (
    select
        message_id,
        run_key,
        step,
        version
    from {{ ref('journey_messages') }}
),

exported as (
    select
        run_key,
        max(exported_at) as exported_at
    from deliveries
    group by run_key
),

{% if is_incremental() %}
    counted as (
        select
            run_key,
            max(exported_at) as exported_at,
            sum(feedback_count) as feedback_count
        from {{ this }}
        group by run_key
    ),

    fed as (
        select distinct deliveries.run_key
        from deliveries
        inner join feedback on deliveries.message_id = feedback.message_id
        where feedback.position > (select coalesce(max(last.last_position), 0) from {{ this }} as last)
    ),
{% endif %}

news as (
    select
        exported.run_key,
        exported.exported_at
    from exported
    {% if is_incremental() %}
        left join counted on exported.run_key = counted.run_key
        left join fed on exported.run_key = fed.run_key
        where
            counted.run_key is null
            or exported.exported_at is distinct from counted.exported_at
            or fed.run_key is not null
    {% endif %}
),

-- What delivery has taken up; all else nobody can have reacted to. The variant is the one that was sent.
lines as (
    select
        account_lines.message_id,
        account_lines.run_key,
        account_lines.campaign,
        account_lines.channel,
        account_lines.variant,
        news.exported_at
    from {{ ref('account_lines') }} as account_lines
    inner join news on account_lines.run_key = news.run_key
    where account_lines.attempts_count is not null
),

-- One line per message, whatever it was told how often. Of several bounces the gravest stands.
reacted as (
    select
        feedback.message_id,
        max(case when feedback.feedback_kind = 'delivered' then 1 else 0 end) as is_delivered,
        min(case
            when feedback.feedback_kind != 'bounced' then null
            when feedback.bounce_class = 'hard' then 1
            when feedback.bounce_class = 'block' then 2
            when feedback.bounce_class = 'soft' then 3
            else 4
        end) as bounce_rank,
        max(case when feedback.feedback_kind = 'complained' then 1 else 0 end) as is_complained,
        max(case when feedback.feedback_kind = 'opened' and not feedback.is_automated then 1 else 0 end) as is_opened,
        max(case when feedback.feedback_kind = 'clicked' and not feedback.is_automated then 1 else 0 end) as is_clicked,
        max(case when feedback.feedback_kind = 'unsubscribed' and not feedback.is_automated then 1 else 0 end)
            as is_unsubscribed,
        max(case when feedback.feedback_kind = 'replied' and not feedback.is_automated then 1 else 0 end) as is_replied,
        max(case when feedback.feedback_kind = 'opened' and feedback.is_automated then 1 else 0 end)
            as is_opened_by_machine,
        max(case when feedback.feedback_kind = 'clicked' and feedback.is_automated then 1 else 0 end)
            as is_clicked_by_machine,
        count(*) as feedback_count,
        max(feedback.position) as last_position
    from feedback
    where feedback.message_id in (select lines.message_id from lines)
    group by feedback.message_id
),

summed as (
    select
        lines.run_key,
        lines.campaign,
        lines.channel,
        lines.variant,
        journey_messages.step as journey_step,
        journey_messages.version as journey_version,
        sum(coalesce(reacted.is_delivered, 0)) as delivered_count,
        sum(case when reacted.bounce_rank is not null then 1 else 0 end) as bounced_count,
        sum(case when reacted.bounce_rank = 1 then 1 else 0 end) as hard_bounced_count,
        sum(case when reacted.bounce_rank = 3 then 1 else 0 end) as soft_bounced_count,
        sum(case when reacted.bounce_rank = 2 then 1 else 0 end) as blocked_count,
        sum(case when reacted.bounce_rank = 4 then 1 else 0 end) as undetermined_bounced_count,
        sum(coalesce(reacted.is_complained, 0)) as complained_count,
        sum(coalesce(reacted.is_opened, 0)) as opened_count,
        sum(coalesce(reacted.is_clicked, 0)) as clicked_count,
        sum(coalesce(reacted.is_unsubscribed, 0)) as unsubscribed_count,
        sum(coalesce(reacted.is_replied, 0)) as replied_count,
        sum(coalesce(reacted.is_opened_by_machine, 0)) as automated_opened_count,
        sum(coalesce(reacted.is_clicked_by_machine, 0)) as automated_clicked_count,
        sum(coalesce(reacted.feedback_count, 0)) as feedback_count,
        max(reacted.last_position) as last_position,
        lines.exported_at
    from lines
    left join reacted on lines.message_id = reacted.message_id
    left join journey_messages
        on
            lines.message_id = journey_messages.message_id
            and lines.run_key = journey_messages.run_key
    group by
        lines.run_key,
        lines.campaign,
        lines.channel,
        lines.variant,
        journey_messages.step,
        journey_messages.version,
        lines.exported_at
),

{% if is_incremental() %}
    known as (
        select
            run_key,
            sum(feedback_count) as feedback_count
        from summed
        group by run_key
    ),

    complete as (
        select known.run_key
        from known
        left join counted on known.run_key = counted.run_key
        where known.feedback_count >= coalesce(counted.feedback_count, 0)
    ),
{% endif %}

final as (
    select
        cast(run_key as string) as run_key,
        cast(campaign as string) as campaign,
        cast(channel as string) as channel,
        cast(variant as string) as variant,
        cast(journey_step as string) as journey_step,
        cast(journey_version as integer) as journey_version,
        cast(delivered_count as bigint) as delivered_count,
        cast(bounced_count as bigint) as bounced_count,
        cast(hard_bounced_count as bigint) as hard_bounced_count,
        cast(soft_bounced_count as bigint) as soft_bounced_count,
        cast(blocked_count as bigint) as blocked_count,
        cast(undetermined_bounced_count as bigint) as undetermined_bounced_count,
        cast(complained_count as bigint) as complained_count,
        cast(opened_count as bigint) as opened_count,
        cast(clicked_count as bigint) as clicked_count,
        cast(unsubscribed_count as bigint) as unsubscribed_count,
        cast(replied_count as bigint) as replied_count,
        cast(automated_opened_count as bigint) as automated_opened_count,
        cast(automated_clicked_count as bigint) as automated_clicked_count,
        cast(feedback_count as bigint) as feedback_count,
        cast(last_position as bigint) as last_position,
        cast(exported_at as timestamp) as exported_at
    from summed
    {% if is_incremental() %}
        where run_key in (select complete.run_key from complete)
    {% endif %}
)

select * from final
