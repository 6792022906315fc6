-- Every line of the open runs, decided and cut into batches; those of runs that are only looked ahead to have done
-- their part. A view: to write whole lines once more, for the record and one test, took as long as to find out which
-- batch they are in.
with

runs as (
    select
        run_key,
        decided_at
    from {{ ref('stg_operations__runs') }}
    where is_ahead is not true
),

final as (
    select
        verdicts.message_id,
        verdicts.run_key,
        verdicts.campaign,
        verdicts.profile_id,
        verdicts.entity_id,
        verdicts.channel,
        verdicts.verdict,
        verdicts.reason,
        verdicts.failed_rules,
        verdicts.address,
        verdicts.language,
        verdicts.time_zone,
        verdicts.variant,
        verdicts.wave,
        verdicts.consent_status,
        verdicts.suppression_reason,
        verdicts.excluded_by_segment,
        verdicts.already_sent_at,
        verdicts.sample_bucket,
        verdicts.cap,
        verdicts.cap_messages,
        verdicts.outranked_by,
        verdicts.priority,
        verdicts.size_rank,
        verdicts.capacity,
        verdicts.capacity_rank,
        verdicts.budget_spent,
        verdicts.global_holdout_bucket,
        verdicts.holdout_bucket,
        verdicts.variant_bucket,
        runs.decided_at,
        verdicts.send_at,
        batches.batch_number
    from {{ ref('int_decisions__verdicts') }} as verdicts
    inner join runs on verdicts.run_key = runs.run_key
    left join {{ ref('int_decisions__batches') }} as batches
        on {{ row_key('verdicts', 'verdicts.message_id') }} = batches.line_key
)

select * from final
