-- What a sending domain that is being warmed up may send to a receiving provider on a day, over all campaigns.
--
-- Places are given like those of a capacity, in the same order and before it: to lines that passed every rule so far
-- and are not held out. Any other line is given the place that it would have had among them. Earlier messages take
-- their places first; they are those of runs that send from the same domain (stg_operations__sending_runs), and those
-- of journeys that do.
--
-- Where no open run's domain is warmed up, which is known before the query, nobody is looked at.
{%- set is_warming = open_runs_have('stg_operations__run_warm_ups', 'max_messages is not null') %}

with

{% if is_warming %}
runs as (
    select
        run_key,
        limit_score,
        sample_salt,
        logical_at,
        case when consent = 'exempt' then 1 else 0 end as is_exempt
    from {{ ref('stg_operations__runs') }}
),

scores as (
    select * from {{ ref('int_decisions__scores') }}
),

-- The same for all runs of a domain.
days as (
    select distinct
        domain,
        provider,
        max_messages,
        starts_at,
        ends_at
    from {{ ref('stg_operations__run_warm_ups') }}
),

providers as (
    select distinct
        provider,
        address_domain
    from {{ ref('stg_operations__run_providers') }}
),

warming_runs as (
    select distinct
        run_key,
        domain
    from {{ ref('stg_operations__run_warm_ups') }}
),

sending_runs as (
    select
        run_key,
        domain
    from {{ ref('stg_operations__sending_runs') }}
    where domain in (select warming_runs.domain from warming_runs)
),

addresses as (
    select
        decisions.message_id,
        sending_runs.domain,
        split_part(lower(decisions.address), '@', -1) as address_domain
    from {{ ref('stg_operations__earlier_decisions') }} as decisions
    inner join sending_runs on decisions.run_key = sending_runs.run_key
    where
        decisions.verdict = 'send'
        and decisions.channel = 'email'
    union all
    select
        message_id,
        sender_domain as domain,
        address_domain
    from {{ ref('stg_operations__journey_messages') }}
    where
        channel = 'email'
        and sender_domain in (select warming_runs.domain from warming_runs)
),

earlier_by_day as (
    select
        days.domain,
        days.provider,
        days.starts_at,
        count(*) as messages_count
    from {{ ref('int_decisions__earlier_messages') }} as earlier_messages
    inner join addresses on earlier_messages.message_id = addresses.message_id
    left join providers on addresses.address_domain = providers.address_domain
    inner join days
        on
            addresses.domain = days.domain
            and coalesce(providers.provider, 'other') = days.provider
            and earlier_messages.send_at >= days.starts_at
            and earlier_messages.send_at < days.ends_at
    where days.max_messages > 0
    group by
        days.domain,
        days.provider,
        days.starts_at
),

asked as (
    select
        lines.run_key,
        lines.profile_id,
        lines.entity_id,
        lines.channel,
        warming_runs.domain,
        coalesce(providers.provider, 'other') as provider,
        md5(runs.sample_salt || '|' || lines.profile_id) as profile_hash,
        lines.priority,
        {{ score_of('runs.limit_score', 'scores') }} as score,
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
                and not lines.is_globally_held_out
                and not lines.is_held_out
                then 1
            else 0
        end as places,
        runs.logical_at,
        lines.send_at
    from {{ ref('int_decisions__size') }} as lines
    inner join warming_runs on lines.run_key = warming_runs.run_key
    inner join runs on lines.run_key = runs.run_key
    left join providers on split_part(lines.address_key, '@', -1) = providers.address_domain
    left join scores on lines.profile_id = scores.profile_id
    where
        lines.channel = 'email'
        and lines.has_address
),

ranked as (
    select
        asked.run_key,
        asked.profile_id,
        asked.entity_id,
        asked.channel,
        concat(days.domain, '/', days.provider) as warm_up,
        days.max_messages,
        cast(
            coalesce(earlier_by_day.messages_count, 0)
            + coalesce(
                sum(asked.places) over (
                    partition by days.domain, days.provider, days.starts_at
                    order by
                        asked.is_exempt desc,
                        asked.priority desc,
                        asked.logical_at asc,
                        asked.run_key asc,
                        asked.score desc nulls last,
                        asked.profile_hash asc,
                        asked.profile_id asc,
                        asked.entity_id asc
                    rows between unbounded preceding and 1 preceding
                ),
                0
            ) + 1 as bigint
        ) as warm_up_rank
    from asked
    inner join days
        on
            asked.domain = days.domain
            and asked.provider = days.provider
            and asked.send_at >= days.starts_at
            and asked.send_at < days.ends_at
    left join earlier_by_day
        on
            days.domain = earlier_by_day.domain
            and days.provider = earlier_by_day.provider
            and days.starts_at = earlier_by_day.starts_at
),

too_many as (
    select
        run_key,
        profile_id,
        entity_id,
        channel,
        warm_up,
        warm_up_rank
    from ranked
    where warm_up_rank > max_messages
),
{% endif %}

final as (
    select
        lines.*,
        {% if is_warming %}
        too_many.warm_up,
        too_many.warm_up_rank,
        too_many.run_key is not null as is_over_warm_up
        {% else %}
        cast(null as string) as warm_up,
        cast(null as bigint) as warm_up_rank,
        false as is_over_warm_up
        {% endif %}
    from {{ ref('int_decisions__size') }} as lines
    {% if is_warming %}
    left join too_many
        on
            lines.run_key = too_many.run_key
            and lines.profile_id = too_many.profile_id
            and lines.entity_id = too_many.entity_id
            and lines.channel = too_many.channel
    {% endif %}
)

select * from final
