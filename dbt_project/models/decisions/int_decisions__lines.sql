-- Every line of the open runs, decided and cut into batches; those of runs that are only looked ahead to have done
-- their part. A table, because its tests stand between the rules and the record: when one fails, `decisions` is not
-- touched.
--
-- The batches are counted over keys alone and joined to the lines: sorting whole lines took longer than all rules
-- together. Verdicts are read in place: DuckDB copies a CTE that is read more than once.
with

runs as (
    select
        run_key,
        batch_size,
        decided_at
    from {{ ref('stg_operations__runs') }}
    where is_ahead is not true
),

-- A batch leaves at one time: its messages have one send_at, and are of one wave. There are few times in a run,
-- since they are the openings of time zones, of which some forty differ, for each wave.
numbered as (
    select
        message_id,
        run_key,
        channel,
        send_at,
        wave,
        -- By message_id, which is a hash: every batch has its share of every domain and variant.
        row_number() over (
            partition by run_key, channel, send_at, wave
            order by message_id
        ) as message_number
    from {{ ref('int_decisions__verdicts') }}
    where
        verdict = 'send'
        and run_key in (select runs.run_key from runs)
),

send_times as (
    select
        numbered.run_key,
        numbered.channel,
        numbered.send_at,
        numbered.wave,
        max(runs.batch_size) as batch_size,
        cast(ceil(max(numbered.message_number) / max(runs.batch_size)) as bigint) as batch_count
    from numbered
    inner join runs on numbered.run_key = runs.run_key
    group by
        numbered.run_key,
        numbered.channel,
        numbered.send_at,
        numbered.wave
),

-- Those that leave first have the lowest numbers.
earlier_batches as (
    select
        run_key,
        channel,
        send_at,
        wave,
        batch_size,
        coalesce(
            sum(batch_count) over (
                partition by run_key, channel
                order by send_at, wave
                rows between unbounded preceding and 1 preceding
            ),
            0
        ) as batches_before
    from send_times
),

batched as (
    select
        numbered.message_id,
        earlier_batches.batches_before
        + floor((numbered.message_number - 1) / earlier_batches.batch_size) + 1 as batch_number
    from numbered
    inner join earlier_batches
        on
            numbered.run_key = earlier_batches.run_key
            and numbered.channel = earlier_batches.channel
            and numbered.send_at is not distinct from earlier_batches.send_at
            and numbered.wave is not distinct from earlier_batches.wave
),

final as (
    select
        lines.message_id,
        lines.run_key,
        lines.campaign,
        lines.profile_id,
        lines.entity_id,
        lines.channel,
        lines.verdict,
        lines.reason,
        lines.failed_rules,
        lines.address,
        lines.language,
        lines.time_zone,
        lines.variant,
        lines.wave,
        lines.consent_status,
        lines.suppression_reason,
        lines.excluded_by_segment,
        lines.already_sent_at,
        lines.sample_bucket,
        lines.cap,
        lines.cap_messages,
        lines.outranked_by,
        lines.priority,
        lines.size_rank,
        lines.capacity,
        lines.capacity_rank,
        lines.budget_spent,
        lines.global_holdout_bucket,
        lines.holdout_bucket,
        lines.variant_bucket,
        runs.decided_at,
        lines.send_at,
        cast(batched.batch_number as integer) as batch_number
    from {{ ref('int_decisions__verdicts') }} as lines
    inner join runs on lines.run_key = runs.run_key
    left join batched on lines.message_id = batched.message_id
)

select * from final
