-- The account counted, once per state of a run's ledger: only runs with news are counted again, since
-- counting all history at every record would make each run cost as much as all before it.
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

account_lines as (
    select * from {{ ref('account_lines') }}
),

exported as (
    select
        run_key,
        max(exported_at) as exported_at
    from {{ ref('deliveries') }}
    group by run_key
),

states as (
    select
        decided_runs.run_key,
        exported.exported_at
    from {{ ref('decided_runs') }} as decided_runs
    left join exported on decided_runs.run_key = exported.run_key
    union all
    -- A day of a journey stands for a run.
    select
        run_key,
        max(exported_at) as exported_at
    from {{ ref('journey_messages') }}
    group by run_key
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
        states.run_key,
        states.exported_at
    from states
    {% if is_incremental() %}
        left join counted on states.run_key = counted.run_key
        where
            counted.run_key is null
            or states.exported_at is distinct from counted.exported_at
    {% endif %}
),

final as (
    select
        account_lines.run_key,
        account_lines.campaign,
        account_lines.channel,
        account_lines.variant,
        account_lines.outcome,
        account_lines.reason,
        cast(count(*) as bigint) as lines_count,
        news.exported_at
    from account_lines
    inner join news on account_lines.run_key = news.run_key
    group by
        account_lines.run_key,
        account_lines.campaign,
        account_lines.channel,
        account_lines.variant,
        account_lines.outcome,
        account_lines.reason,
        news.exported_at
)

select * from final
