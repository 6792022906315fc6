-- When each line's message may leave: at once, when its wave does, or from then on at the first permitted instant of
-- the person's time zone and country, which is computed for each run beforehand (stg_operations__run_openings); where
-- the run asks for the best hour, for each hour of the day.
--
-- The lines are read in place: a CTE that is read twice is copied, and one that is read once hides from the engine how
-- many there are. Where no open run asks for the best hour, nobody is looked at twice.
{%- set is_by_hour = open_runs_have('stg_operations__runs', 'explore_percent is not null') %}

with

runs as (
    select
        run_key,
        decided_at,
        is_timed,
        explore_percent,
        explore_salt
    from {{ ref('stg_operations__runs') }}
),

waves as (
    select
        run_key,
        wave,
        starts_at
    from {{ ref('stg_operations__run_waves') }}
),

openings as (
    select
        run_key,
        wave,
        time_zone,
        country,
        hour,
        opens_at
    from {{ ref('stg_operations__run_openings') }}
),

zones as (
    select distinct
        run_key,
        time_zone
    from openings
),

countries as (
    select distinct
        run_key,
        country
    from openings
),

{% if is_by_hour %}
-- The hour that each person is to be written to in: their best one, that of the people of their zone, or that of
-- everybody; of some, who are others in every run, any hour, so that what they do is not only known of the best.
-- Nobody has one in a run that asks for none.
people as (
    select distinct
        lines.run_key,
        lines.profile_id,
        lines.time_zone,
        runs.explore_percent,
        runs.explore_salt
    from {{ ref('int_decisions__waves') }} as lines
    inner join runs on lines.run_key = runs.run_key
    where runs.explore_percent is not null
),

best_hours as (
    select
        profile_id,
        best_hour
    from {{ ref('best_hours') }}
),

zone_best_hours as (
    select
        time_zone,
        best_hour
    from {{ ref('zone_best_hours') }}
),

hours as (
    select
        people.run_key,
        people.profile_id,
        case
            when
                {{ bucket('people.explore_salt', 'people.profile_id') }}
                < cast(round(people.explore_percent * 100) as integer)
                then {{ bucket("people.explore_salt || '|hour'", 'people.profile_id') }} % 24
            else coalesce(best_hours.best_hour, of_zone.best_hour, of_everybody.best_hour)
        end as hour
    from people
    left join best_hours on people.profile_id = best_hours.profile_id
    left join zone_best_hours as of_zone on people.time_zone = of_zone.time_zone
    left join zone_best_hours as of_everybody on of_everybody.time_zone = ''
),
{% endif %}

timed as (
    select
        lines.*,
        coalesce(openings.opens_at, waves.starts_at, runs.decided_at) as send_at,
        runs.is_timed and openings.run_key is null as is_time_zone_unknown,
        openings.run_key is not null and openings.opens_at is null as is_out_of_hours
    from {{ ref('int_decisions__waves') }} as lines
    inner join runs on lines.run_key = runs.run_key
    left join waves
        on
            lines.run_key = waves.run_key
            and lines.wave = waves.wave
    -- A zone that is none of the IANA's is as good as none; a country without hours of its own is like all
    -- others of that kind. Both stand under ''.
    left join zones
        on
            lines.run_key = zones.run_key
            and lines.time_zone = zones.time_zone
    left join countries
        on
            lines.run_key = countries.run_key
            and lines.country = countries.country
    {% if is_by_hour %}
    left join hours
        on
            lines.run_key = hours.run_key
            and lines.profile_id = hours.profile_id
    {% endif %}
    left join openings
        on
            lines.run_key = openings.run_key
            and coalesce(lines.wave, 0) = openings.wave
            and coalesce(zones.time_zone, '') = openings.time_zone
            and coalesce(countries.country, '') = openings.country
            and {{ 'coalesce(hours.hour, -1)' if is_by_hour else '-1' }} = coalesce(openings.hour, -1)
),

final as (
    select
        *,
        is_contactable and not is_time_zone_unknown and not is_out_of_hours as is_possible
    from timed
)

select * from final
