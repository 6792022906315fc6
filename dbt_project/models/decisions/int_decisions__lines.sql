-- Every line of the open runs, decided and cut into batches. A table, because its tests stand between
-- the rules and the record: when one fails, `decisions` is not touched.
{{ config(materialized='table') }}

with

runs as (
    select
        run_key,
        batch_size,
        decided_at
    from {{ ref('stg_operations__runs') }}
),

verdicts as (
    select * from {{ ref('int_decisions__verdicts') }}
),

-- A batch leaves at one time: its messages have one send_at, and are of one wave. There are few times in a run,
-- since they are the openings of time zones, of which some forty differ, for each wave.
numbered as (
    select
        verdicts.*,
        runs.batch_size,
        runs.decided_at,
        -- By message_id, which is a hash: every batch has its share of every domain and variant.
        row_number() over (
            partition by verdicts.run_key, verdicts.channel, verdicts.verdict, verdicts.send_at, verdicts.wave
            order by verdicts.message_id
        ) as line_number
    from verdicts
    inner join runs on verdicts.run_key = runs.run_key
),

sliced as (
    select
        *,
        floor((line_number - 1) / batch_size) as slice_number
    from numbered
),

batched as (
    select
        *,
        -- Those that leave first have the lowest numbers.
        dense_rank() over (
            partition by run_key, channel, verdict
            order by send_at, wave, slice_number
        ) as batch_rank
    from sliced
),

final as (
    select
        message_id,
        run_key,
        campaign,
        profile_id,
        entity_id,
        channel,
        verdict,
        reason,
        failed_rules,
        address,
        language,
        time_zone,
        variant,
        wave,
        consent_status,
        suppression_reason,
        excluded_by_segment,
        already_sent_at,
        sample_bucket,
        cap,
        cap_messages,
        outranked_by,
        priority,
        size_rank,
        capacity,
        capacity_rank,
        budget_spent,
        global_holdout_bucket,
        holdout_bucket,
        variant_bucket,
        decided_at,
        send_at,
        case when verdict = 'send' then cast(batch_rank as integer) end as batch_number
    from batched
)

select * from final
