{{ config(materialized='table') }}

with

run_counts as (
    select * from {{ ref('int_measurement__run_counts') }}
),

final as (
    select
        cast(run_key as varchar) as run_key,
        cast(campaign as varchar) as campaign,
        cast(channel as varchar) as channel,
        cast(outcome as varchar) as outcome,
        cast(reason as varchar) as reason,
        cast(sum(lines_count) as bigint) as people
    from run_counts
    group by
        run_key,
        campaign,
        channel,
        outcome,
        reason
)

select * from final
