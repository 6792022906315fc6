-- A view: after a first evaluation it is as long as the memberships.
{{ config(materialized='view') }}
{%- set since = as_of() ~ " - interval '" ~ var('segment_changes_days') ~ "' day" %}
with

memberships as (
    select * from {{ ref('segment_memberships') }}
    where
        entered_at > {{ since }}
        or exited_at > {{ since }}
),

changes as (
    select
        segment,
        profile_id,
        entity_id,
        'entered' as change,
        entry_reason as reason,
        entered_at as changed_at
    from memberships
    union all
    select
        segment,
        profile_id,
        entity_id,
        'exited' as change,
        exit_reason as reason,
        exited_at as changed_at
    from memberships
    where exited_at is not null
),

final as (
    select
        cast(segment as string) as segment,
        cast(profile_id as string) as profile_id,
        cast(entity_id as string) as entity_id,
        cast(change as string) as change,
        cast(reason as string) as reason,
        cast(changed_at as timestamp) as changed_at
    from changes
    where changed_at > {{ since }}
)

select * from final
