-- Which profile became which: those that are gone, by where they are now, and those that were split off since
-- the last build. (A record that moves between two profiles that both go on is news about both: no move.)
{{ config(materialized='view') }}

with

redirects as (
    select * from {{ ref('profile_redirects') }}
),

identity_changes as (
    select * from {{ ref('identity_changes') }}
),

last_build as (
    select max(built_at) as built_at
    from {{ recorded_sizes() }} as sizes
    where built_at < {{ as_of() }}
),

moved as (
    select
        profile_id,
        current_profile_id as moved_to_profile_id,
        'merged' as reason
    from redirects
    union all
    select
        identity_changes.from_profile_id as profile_id,
        identity_changes.to_profile_id as moved_to_profile_id,
        'split' as reason
    from identity_changes
    inner join last_build on identity_changes.changed_at > last_build.built_at
    where identity_changes.change_kind = 'split'
),

final as (
    select
        profile_id,
        moved_to_profile_id,
        reason
    from moved
)

select * from final
