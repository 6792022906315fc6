-- The account of each message step of each journey counted, day by day. Only days with news are counted again.
{{
    config(
        materialized='incremental',
        incremental_strategy=replace_strategy(),
        unique_key='run_key',
        partition_by=replaced_partition('run_key'),
        on_schema_change='append_new_columns',
    )
}}

with

journey_messages as (
    select * from {{ ref('journey_messages') }}
),

account_lines as (
    select
        message_id,
        run_key,
        variant,
        outcome
    from {{ ref('account_lines') }}
),

{% if is_incremental() %}
    counted as (
        select
            run_key,
            max(exported_at) as exported_at
        from {{ this }}
        group by run_key
    ),
{% endif %}

news as (
    select
        recorded.run_key,
        recorded.exported_at
    from (
        select
            run_key,
            max(exported_at) as exported_at
        from journey_messages
        group by run_key
    ) as recorded
    {% if is_incremental() %}
        left join counted on recorded.run_key = counted.run_key
        where
            counted.run_key is null
            or recorded.exported_at is distinct from counted.exported_at
    {% endif %}
),

final as (
    select
        journey_messages.run_key,
        journey_messages.journey,
        journey_messages.step,
        journey_messages.channel,
        account_lines.variant,
        journey_messages.version,
        count(*) as considered_count,
        sum(case when account_lines.outcome = 'sent' then 1 else 0 end) as sent_count,
        sum(case when account_lines.outcome = 'holdout' then 1 else 0 end) as global_holdout_count,
        sum(case when account_lines.outcome = 'excluded' then 1 else 0 end) as excluded_count,
        sum(case when account_lines.outcome = 'failed' then 1 else 0 end) as failed_count,
        sum(case when account_lines.outcome = 'withheld' then 1 else 0 end) as withheld_count,
        sum(case when account_lines.outcome = 'unknown' then 1 else 0 end) as unknown_count,
        sum(case when account_lines.outcome = 'pending' then 1 else 0 end) as pending_count,
        min(cast(journey_messages.reached_at as date)) as reached_date,
        news.exported_at
    from journey_messages
    inner join news on journey_messages.run_key = news.run_key
    inner join account_lines
        on
            journey_messages.message_id = account_lines.message_id
            and journey_messages.run_key = account_lines.run_key
    group by
        journey_messages.run_key,
        journey_messages.journey,
        journey_messages.step,
        journey_messages.channel,
        account_lines.variant,
        journey_messages.version,
        news.exported_at
)

select * from final
