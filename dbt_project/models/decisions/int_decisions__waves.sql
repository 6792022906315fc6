-- The wave of each person: by shares as it was drawn, or by counts in the order of a hash that differs from run to run.
--
-- Places go to people who can be written to on a channel and are not held out; anybody else is in the wave that their
-- place would have been in. So a wave holds as many as its count, less those whom a later rule stops: hours, caps and
-- what comes after them are asked of the time of the wave.
--
-- Where no open run counts, which is known before the query, nobody is looked at twice.
{%- set is_counted = open_runs_have('stg_operations__run_waves', 'place_from is not null') %}

with

{% if is_counted %}
runs as (
    select
        run_key,
        wave_salt
    from {{ ref('stg_operations__runs') }}
),

counted_waves as (
    select
        run_key,
        wave,
        place_from,
        place_to
    from {{ ref('stg_operations__run_waves') }}
    where place_from is not null
),

people as (
    select
        lines.run_key,
        lines.profile_id,
        md5(runs.wave_salt || '|' || lines.profile_id) as profile_hash,
        max(
            case
                when lines.is_contactable and not lines.is_globally_held_out and not lines.is_held_out then 1
                else 0
            end
        ) as places
    from {{ ref('int_decisions__contactability') }} as lines
    inner join runs on lines.run_key = runs.run_key
    where lines.run_key in (select counted_waves.run_key from counted_waves)
    group by
        lines.run_key,
        lines.profile_id,
        runs.wave_salt
),

placed as (
    select
        run_key,
        profile_id,
        coalesce(
            sum(places) over (
                partition by run_key
                order by profile_hash, profile_id
                rows between unbounded preceding and 1 preceding
            ),
            0
        ) + 1 as place
    from people
),

counted as (
    select
        placed.run_key,
        placed.profile_id,
        counted_waves.wave
    from placed
    inner join counted_waves
        on
            placed.run_key = counted_waves.run_key
            and placed.place >= counted_waves.place_from
            and (counted_waves.place_to is null or placed.place < counted_waves.place_to)
),
{% endif %}

final as (
    select
        lines.*,
        {% if is_counted %}
        coalesce(lines.drawn_wave, counted.wave) as wave
        {% else %}
        lines.drawn_wave as wave
        {% endif %}
    from {{ ref('int_decisions__contactability') }} as lines
    {% if is_counted %}
    left join counted
        on
            lines.run_key = counted.run_key
            and lines.profile_id = counted.profile_id
    {% endif %}
)

select * from final
