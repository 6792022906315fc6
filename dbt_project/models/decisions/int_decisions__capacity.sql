-- What places that handle messages can take, and what the campaign may spend: capacities one after the other, in
-- as many passes as one message may draw on capacities (kundresa.spec.capacity.MAX_LEVELS); then the budget, which
-- pays only for those that every capacity has room for.
--
-- A place is counted over the lines that passed every rule and every pass before, and are not held out. Any other
-- line is given the place that it would have had among them. Only lines of runs that draw on a capacity or have a
-- budget are looked at, and where no open run is limited, which is known before the query, nobody is; `explain` is
-- told of the first capacity that had no room.
{%- set is_limited = (
    open_runs_have('stg_operations__run_capacities', 'run_key is not null')
    or open_runs_have('stg_operations__run_budgets', 'run_key is not null')
) %}
{%- set passes = 4 %}
{%- set order %}
                    asked.is_exempt desc,
                    asked.priority desc,
                    asked.logical_at asc,
                    asked.run_key asc,
                    asked.score desc nulls last,
                    asked.profile_hash asc,
                    asked.profile_id asc,
                    asked.entity_id asc,
                    asked.channel asc
                rows between unbounded preceding and 1 preceding
{%- endset %}

with

{% if is_limited %}
runs as (
    select
        run_key,
        campaign,
        limit_score,
        sample_salt,
        logical_at,
        case when consent = 'exempt' then 1 else 0 end as is_exempt
    from {{ ref('stg_operations__runs') }}
),

run_capacities as (
    select * from {{ ref('stg_operations__run_capacities') }}
),

run_budgets as (
    select * from {{ ref('stg_operations__run_budgets') }}
),

scores as (
    select * from {{ ref('int_decisions__scores') }}
),

earlier_messages as (
    select
        campaign,
        channel,
        send_at
    from {{ ref('int_decisions__earlier_messages') }}
),

limited_runs as (
    select run_key
    from run_capacities
    union distinct
    select run_key
    from run_budgets
),

-- The same for all runs that draw on them.
capacity_channels as (
    select distinct
        capacity,
        channel
    from run_capacities
),

capacity_campaigns as (
    select distinct
        capacity,
        campaign
    from {{ ref('stg_operations__run_capacity_campaigns') }}
),

capacity_periods as (
    select distinct
        capacity,
        max_messages,
        starts_at,
        ends_at
    from {{ ref('stg_operations__run_capacity_periods') }}
),

earlier_by_period as (
    select
        capacity_periods.capacity,
        capacity_periods.starts_at,
        count(*) as messages_count
    from earlier_messages
    inner join capacity_channels on earlier_messages.channel = capacity_channels.channel
    inner join capacity_periods
        on
            capacity_channels.capacity = capacity_periods.capacity
            and earlier_messages.send_at >= capacity_periods.starts_at
            and earlier_messages.send_at < capacity_periods.ends_at
    inner join capacity_campaigns
        on
            capacity_periods.capacity = capacity_campaigns.capacity
            and capacity_campaigns.campaign in (earlier_messages.campaign, '*')
    where capacity_periods.max_messages > 0
    group by
        capacity_periods.capacity,
        capacity_periods.starts_at
),

slots as (
    select
        run_capacities.run_key,
        run_capacities.channel,
        run_capacities.level,
        run_capacities.capacity,
        capacity_periods.max_messages,
        coalesce(earlier_by_period.messages_count, 0) as earlier_messages,
        capacity_periods.starts_at,
        capacity_periods.ends_at
    from run_capacities
    inner join capacity_periods on run_capacities.capacity = capacity_periods.capacity
    left join earlier_by_period
        on
            capacity_periods.capacity = earlier_by_period.capacity
            and capacity_periods.starts_at = earlier_by_period.starts_at
),

-- A budget that is shared is the campaign's; what one run may spend is its own.
budgets as (
    select
        run_budgets.run_key,
        run_budgets.channel,
        case when run_budgets.is_shared then runs.campaign else run_budgets.run_key end as budget_key,
        run_budgets.is_shared,
        runs.campaign,
        run_budgets.cost_micros,
        run_budgets.budget_micros,
        run_budgets.starts_at,
        run_budgets.ends_at
    from run_budgets
    inner join runs on run_budgets.run_key = runs.run_key
),

shared_costs as (
    select distinct
        campaign,
        channel,
        cost_micros,
        starts_at,
        ends_at
    from budgets
    where is_shared
),

earlier_by_budget as (
    select
        shared_costs.campaign as budget_key,
        shared_costs.starts_at,
        sum(shared_costs.cost_micros) as spent_micros
    from earlier_messages
    inner join shared_costs
        on
            earlier_messages.campaign = shared_costs.campaign
            and earlier_messages.channel = shared_costs.channel
            and earlier_messages.send_at >= shared_costs.starts_at
            and earlier_messages.send_at < shared_costs.ends_at
    group by
        shared_costs.campaign,
        shared_costs.starts_at
),

purses as (
    select
        budgets.run_key,
        budgets.channel,
        budgets.budget_key,
        budgets.cost_micros,
        budgets.budget_micros,
        coalesce(earlier_by_budget.spent_micros, 0) as earlier_micros,
        budgets.starts_at,
        budgets.ends_at
    from budgets
    left join earlier_by_budget
        on
            budgets.budget_key = earlier_by_budget.budget_key
            and budgets.starts_at = earlier_by_budget.starts_at
            and budgets.is_shared
),

asked_0 as (
    select
        lines.run_key,
        lines.profile_id,
        lines.entity_id,
        lines.channel,
        cast(null as string) as capacity,
        md5(runs.sample_salt || '|' || lines.profile_id) as profile_hash,
        lines.priority,
        {{ score_of('runs.limit_score', 'scores') }} as score,
        cast(null as bigint) as capacity_rank,
        runs.is_exempt,
        case
            when
                lines.is_possible
                and not lines.is_another_entity_chosen
                and not lines.is_duplicate_address
                and not lines.is_another_channel_chosen
                and not lines.is_capped
                and not lines.is_outranked
                and not lines.is_over_max_size
                and not lines.is_over_warm_up
                and not lines.is_globally_held_out
                and not lines.is_held_out
                then 1
            else 0
        end as places,
        runs.logical_at,
        lines.send_at
    from {{ ref('int_decisions__warm_up') }} as lines
    inner join runs on lines.run_key = runs.run_key
    left join scores on lines.profile_id = scores.profile_id
    where lines.run_key in (select limited_runs.run_key from limited_runs)
),
{% for number in range(1, passes + 1) %}
placed_{{ number }} as (
    select
        asked.*,
        slots.capacity as slot_capacity,
        slots.max_messages as slot_messages,
        cast(
            slots.earlier_messages
            + coalesce(
                sum(case when asked.capacity is null then asked.places else 0 end) over (
                    partition by slots.capacity, slots.starts_at
                    order by {{- order }}
                ),
                0
            ) + 1 as bigint
        ) as slot_rank
    from asked_{{ number - 1 }} as asked
    left join slots
        on
            asked.run_key = slots.run_key
            and asked.channel = slots.channel
            and asked.send_at >= slots.starts_at
            and asked.send_at < slots.ends_at
            and slots.level = {{ number }}
),

asked_{{ number }} as (
    select
        run_key,
        profile_id,
        entity_id,
        channel,
        coalesce(capacity, case when slot_rank > slot_messages then slot_capacity end) as capacity,
        profile_hash,
        priority,
        score,
        case
            when capacity is not null then capacity_rank
            when slot_rank > slot_messages then slot_rank
        end as capacity_rank,
        is_exempt,
        places,
        logical_at,
        send_at
    from placed_{{ number }}
),
{% endfor %}
-- The first that does not fit ends it: a cheaper one after it is not let through.
paid as (
    select
        asked.run_key,
        asked.profile_id,
        asked.entity_id,
        asked.channel,
        asked.capacity,
        asked.capacity_rank,
        purses.cost_micros,
        purses.budget_micros,
        cast(
            purses.earlier_micros
            + coalesce(
                sum(case when asked.capacity is null then asked.places * purses.cost_micros else 0 end) over (
                    partition by purses.budget_key, purses.starts_at
                    order by {{- order }}
                ),
                0
            ) + purses.cost_micros as bigint
        ) as spent_micros
    from asked_{{ passes }} as asked
    left join purses
        on
            asked.run_key = purses.run_key
            and asked.channel = purses.channel
            and asked.send_at >= purses.starts_at
            and asked.send_at < purses.ends_at
),
{% endif %}

final as (
    select
        lines.*,
        -- A warm-up is asked first: what it stops takes no place in a capacity.
        {% if is_limited %}
        coalesce(lines.warm_up, paid.capacity) as capacity,
        coalesce(lines.warm_up_rank, paid.capacity_rank) as capacity_rank,
        cast(paid.spent_micros as double) / 1000000 as budget_spent,
        paid.capacity is not null as is_over_capacity,
        -- What costs nothing needs no budget.
        coalesce(paid.cost_micros > 0 and paid.spent_micros > paid.budget_micros, false) as is_over_budget
        {% else %}
        lines.warm_up as capacity,
        lines.warm_up_rank as capacity_rank,
        cast(null as double) as budget_spent,
        false as is_over_capacity,
        false as is_over_budget
        {% endif %}
    from {{ ref('int_decisions__warm_up') }} as lines
    {% if is_limited %}
    left join paid
        on
            lines.run_key = paid.run_key
            and lines.profile_id = paid.profile_id
            and lines.entity_id = paid.entity_id
            and lines.channel = paid.channel
    {% endif %}
)

select * from final
