{{ config(materialized='table') }}

with

run_counts as (
    select * from {{ ref('int_measurement__run_counts') }}
),

final as (
    select
        cast(run_key as string) as run_key,
        cast(campaign as string) as campaign,
        cast(channel as string) as channel,
        cast(outcome as string) as outcome,
        cast(reason as string) as reason,
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
