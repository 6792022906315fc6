-- The scores of `vars: scores` of everybody who is considered: SQL over the columns of profiles. A mistake in
-- one has failed the build before (tests/scores_are_numbers.sql).
with

candidates as (
    select distinct profile_id
    from {{ ref('int_decisions__candidates') }}
),

final as (
    select
        profiles.profile_id
        {{- ', ' ~ score_columns() if var('scores') }}
    from {{ ref('profiles') }} as profiles
    where profiles.profile_id in (select candidates.profile_id from candidates)
)

select * from final
