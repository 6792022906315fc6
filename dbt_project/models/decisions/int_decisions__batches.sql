-- The batch of each line that is to be sent.
--
-- Over keys alone: sorting whole lines took longer than all rules together.
with

runs as (
    select
        run_key,
        batch_size
    from {{ ref('stg_operations__runs') }}
    where is_ahead is not true
),

-- A batch leaves at one time: its messages have one send_at, and are of one wave. There are few times in a run,
-- since they are the openings of time zones, of which some forty differ, for each wave.
numbered as (
    select
        {{ row_key('verdicts', 'verdicts.message_id') }} as line_key,
        verdicts.run_key,
        verdicts.channel,
        verdicts.send_at,
        verdicts.wave,
        -- By message_id, which is a hash: every batch has its share of every domain and variant.
        row_number() over (
            partition by verdicts.run_key, verdicts.channel, verdicts.send_at, verdicts.wave
            order by verdicts.message_id
        ) as message_number
    from {{ ref('int_decisions__verdicts') }} as verdicts
    where
        verdicts.verdict = 'send'
        and verdicts.run_key in (select runs.run_key from runs)
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

final as (
    select
        numbered.line_key,
        cast(
            earlier_batches.batches_before
            + floor((numbered.message_number - 1) / earlier_batches.batch_size) + 1 as integer
        ) as batch_number
    from numbered
    inner join earlier_batches
        on
            numbered.run_key = earlier_batches.run_key
            and numbered.channel = earlier_batches.channel
            and numbered.send_at is not distinct from earlier_batches.send_at
            and numbered.wave is not distinct from earlier_batches.wave
)

select * from final
