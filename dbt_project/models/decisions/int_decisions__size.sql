-- The most messages that a run sends: places by score, the highest first, then by a hash of the person that
-- is the same in every run of the campaign.
--
-- A place is counted over the lines that passed every rule so far and are not held out. Any other line is
-- given the place that it would have had among them, so that who is held out is cut like those who are not.
--
-- Where no open run has a largest size, which is known before the query, nobody is looked at.
{%- set is_sized = open_runs_have('stg_operations__runs', 'max_size is not null') %}

with

{% if is_sized %}
runs as (
    select
        run_key,
        max_size,
        size_score,
        sample_salt
    from {{ ref('stg_operations__runs') }}
),

scores as (
    select * from {{ ref('int_decisions__scores') }}
),

scored as (
    select
        lines.run_key,
        lines.profile_id,
        lines.entity_id,
        lines.channel,
        runs.max_size,
        md5(runs.sample_salt || '|' || lines.profile_id) as profile_hash,
        {{ score_of('runs.size_score', 'scores') }} as score,
        case
            when
                lines.is_possible
                and not lines.is_another_entity_chosen
                and not lines.is_duplicate_address
                and not lines.is_another_channel_chosen
                and not lines.is_capped
                and not lines.is_outranked
                and not lines.is_globally_held_out
                and not lines.is_held_out
                then 1
            else 0
        end as places
    from {{ ref('int_decisions__pressure') }} as lines
    inner join runs on lines.run_key = runs.run_key
    left join scores on lines.profile_id = scores.profile_id
    where runs.max_size is not null
),

ranked as (
    select
        run_key,
        profile_id,
        entity_id,
        channel,
        max_size,
        cast(
            coalesce(
                sum(places) over (
                    partition by run_key
                    order by score desc nulls last, profile_hash asc, profile_id asc, entity_id asc, channel asc
                    rows between unbounded preceding and 1 preceding
                ),
                0
            ) + 1 as bigint
        ) as size_rank
    from scored
),
{% endif %}

final as (
    select
        lines.*,
        {% if is_sized %}
        ranked.size_rank,
        coalesce(ranked.size_rank > ranked.max_size, false) as is_over_max_size
        {% else %}
        cast(null as bigint) as size_rank,
        false as is_over_max_size
        {% endif %}
    from {{ ref('int_decisions__pressure') }} as lines
    {% if is_sized %}
    left join ranked
        on
            lines.run_key = ranked.run_key
            and lines.profile_id = ranked.profile_id
            and lines.entity_id = ranked.entity_id
            and lines.channel = ranked.channel
    {% endif %}
)

select * from final
