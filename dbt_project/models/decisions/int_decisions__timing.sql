-- When each line's message may leave: at once, when its wave does, or from then on at the first permitted instant of
-- the person's time zone and country, which is computed for each run beforehand (stg_operations__run_openings).
with

runs as (
    select
        run_key,
        decided_at,
        is_timed
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

lines as (
    select * from {{ ref('int_decisions__contactability') }}
),

timed as (
    select
        lines.*,
        coalesce(openings.opens_at, waves.starts_at, runs.decided_at) as send_at,
        runs.is_timed and openings.run_key is null as is_time_zone_unknown,
        openings.run_key is not null and openings.opens_at is null as is_out_of_hours
    from lines
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
    left join openings
        on
            lines.run_key = openings.run_key
            and coalesce(lines.wave, 0) = openings.wave
            and coalesce(zones.time_zone, '') = openings.time_zone
            and coalesce(countries.country, '') = openings.country
),

final as (
    select
        *,
        is_contactable and not is_time_zone_unknown and not is_out_of_hours as is_possible
    from timed
)

select * from final
