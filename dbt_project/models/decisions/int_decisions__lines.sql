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

numbered as (
    select
        verdicts.*,
        runs.batch_size,
        runs.decided_at,
        -- By message_id, which is a hash: every batch has its share of every domain and variant.
        row_number() over (
            partition by verdicts.run_key, verdicts.channel, verdicts.verdict
            order by verdicts.message_id
        ) as line_number
    from verdicts
    inner join runs on verdicts.run_key = runs.run_key
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
        consent_status,
        suppression_reason,
        excluded_by_segment,
        holdout_bucket,
        variant_bucket,
        decided_at,
        case
            when verdict = 'send' then cast(floor((line_number - 1) / batch_size) as integer) + 1
        end as batch_number
    from numbered
)

select * from final
