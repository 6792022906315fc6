-- The scores of `vars: scores` of everybody whom a run considers that goes by one. A mistake in a score has failed
-- the build before (tests/scores_are_numbers.sql). Where no open run goes by one, nobody is looked at.
{%- set is_scored = open_runs_have(
    'stg_operations__runs',
    'priority_score is not null or size_score is not null or limit_score is not null',
) %}

with

runs as (
    select run_key
    from {{ ref('stg_operations__runs') }}
    where
        priority_score is not null
        or size_score is not null
        or limit_score is not null
),

candidates as (
    select candidates.profile_id
    from {{ ref('int_decisions__candidates') }} as candidates
    inner join runs on candidates.run_key = runs.run_key
),

final as (
    select
        profiles.profile_id
        {{- ', ' ~ score_columns() if var('scores') }}
    from {{ ref('profiles') }} as profiles
    where {{ 'profiles.profile_id in (select candidates.profile_id from candidates)' if is_scored else 'false' }}
)

select * from final
