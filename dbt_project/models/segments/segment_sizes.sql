{{
    config(
        materialized='incremental',
        incremental_strategy=replace_strategy(),
        unique_key=['segment', 'built_at'],
        full_refresh=false,
        pre_hook=[
            "{{ refuse_to_go_back(this, ['built_at']) }}",
            "{{ keep_earlier(this) }}",
        ],
    )
}}
with

evaluated as (
    select * from {{ ref('int_segments__sizes') }}
),

memberships as (
    select * from {{ ref('segment_memberships') }}
),

counted as (
    select
        segment,
        count(case when exited_at is null then 1 end) as members_count,
        count(case when entered_at = {{ as_of() }} then 1 end) as entered_count,
        count(case when exited_at = {{ as_of() }} then 1 end) as exited_count
    from memberships
    group by segment
),

typed as (
    select
        cast(evaluated.segment as string) as segment,
        cast(evaluated.entity as string) as entity,
        cast(evaluated.held_reason as string) as held_reason,
        cast(coalesce(counted.members_count, 0) as bigint) as members_count,
        cast(evaluated.evaluated_count as bigint) as evaluated_count,
        cast(coalesce(counted.entered_count, 0) as bigint) as entered_count,
        cast(coalesce(counted.exited_count, 0) as bigint) as exited_count,
        cast(evaluated.is_held as boolean) as is_held,
        cast(evaluated.is_accepted as boolean) as is_accepted,
        cast({{ as_of() }} as timestamp) as built_at
    from evaluated
    left join counted on evaluated.segment = counted.segment
),

final as (
    select * from typed
    {{ kept_rows(this, 'typed', ['segment', 'built_at']) }}
)

select * from final
