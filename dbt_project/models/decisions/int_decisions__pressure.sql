-- Caps, and who goes first where campaigns compete for what a person may still get. What competes, and how it is
-- settled, is said in int_decisions__contention; here each line has the cap that stops it.
--
-- Of several caps, one that earlier messages alone have reached is the reason before one that a better line of
-- this decision has; within each the first by name.
with

runs as (
    select
        run_key,
        priority,
        priority_score
    from {{ ref('stg_operations__runs') }}
),

lines as (
    select * from {{ ref('int_decisions__choice') }}
),

scores as (
    select * from {{ ref('int_decisions__scores') }}
),

contention as (
    select * from {{ ref('int_decisions__contention') }}
),

counted as (
    select
        *,
        earlier_messages + {{ sum_before("case when is_competing and standing = 'accepted' then 1 else 0 end") }}
            as counted_messages,
        max(case when is_competing and standing = 'accepted' then place end) over (
            partition by slot_number
            order by place
            rows between unbounded preceding and 1 preceding
        ) as last_place
    from contention
),

refusals as (
    select
        *,
        earlier_messages >= max_messages as is_capped,
        row_number() over (
            partition by line_key
            order by case when earlier_messages >= max_messages then 0 else 1 end, cap
        ) as refusal_number
    from counted
    where
        is_asking
        and counted_messages >= max_messages
),

stopped as (
    select
        refusals.line_key,
        refusals.cap,
        refusals.is_capped,
        case
            when refusals.is_capped then refusals.earlier_messages
            else refusals.counted_messages
        end as cap_messages,
        case when not refusals.is_capped then contention.run_key end as outranked_by
    from refusals
    left join contention
        on
            refusals.slot_number = contention.slot_number
            and refusals.last_place = contention.place
    where refusals.refusal_number = 1
),

final as (
    select
        lines.*,
        {{ line_priority('runs', 'scores') }} as priority,
        stopped.cap,
        cast(stopped.cap_messages as integer) as cap_messages,
        stopped.outranked_by,
        coalesce(stopped.is_capped, false) as is_capped,
        coalesce(not stopped.is_capped, false) as is_outranked
    from lines
    inner join runs on lines.run_key = runs.run_key
    left join scores
        on
            lines.profile_id = scores.profile_id
            and runs.priority_score is not null
    left join stopped on lines.line_key = stopped.line_key
)

select * from final
