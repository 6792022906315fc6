-- One line per run that was decided, a run without candidates included: `decisions` cannot show those.
{{
    config(
        materialized='incremental',
        incremental_strategy='append',
        full_refresh=false,
        on_schema_change='append_new_columns',
    )
}}
{% set only_recorded = var('only_recorded', false) %}
{#- None when the pass was interrupted before there was a record. -#}
{% set has_record = not only_recorded or not execute or load_relation(ref('decisions')) is not none %}
{% set no_decisions = "(select '' as run_key, '' as verdict, cast(null as timestamp) as decided_at where false)" %}

with

runs as (
    select *
    from {{ ref('stg_operations__runs') }}
    where
        is_ahead is not true
    {% if is_incremental() %}
        and run_key not in (select this.run_key from {{ this }} as this)
    {% endif %}
),

decisions as (
    select
        run_key,
        verdict,
        decided_at
    from {{ ref('decisions') if has_record else no_decisions }}
),

counts as (
    select
        run_key,
        count(*) as lines_count,
        sum(case when verdict = 'send' then 1 else 0 end) as send_count,
        -- Of an earlier pass, if this one follows a crash between the two models.
        min(decided_at) as decided_at
    from decisions
    where run_key in (select runs.run_key from runs)
    group by run_key
),

final as (
    select
        {{ in_one_file() }}
        cast(runs.run_key as string) as run_key,
        cast(runs.campaign as string) as campaign,
        cast(runs.topic as string) as topic,
        cast(runs.consent as string) as consent,
        cast(coalesce(counts.lines_count, 0) as bigint) as lines_count,
        cast(coalesce(counts.send_count, 0) as bigint) as send_count,
        cast(runs.logical_at as timestamp) as logical_at,
        cast(coalesce(counts.decided_at, runs.decided_at) as timestamp) as decided_at,
        cast(runs.valid_until as timestamp) as valid_until
    from runs
    left join counts on runs.run_key = counts.run_key
    {% if only_recorded %}
        -- After a crash: one without lines may not have been decided at all.
        where counts.run_key is not null
    {% endif %}
)

select * from final
