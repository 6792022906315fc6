{{
    config(
        materialized='incremental',
        incremental_strategy=replace_strategy(),
        unique_key=['segment', 'profile_id', 'entity_id', 'entered_at'],
        full_refresh=false,
        pre_hook=[
            "{{ refuse_to_go_back(this, ['entered_at', 'exited_at']) }}",
            "{{ keep_earlier(this) }}",
            "{{ forget_marks_of_this_instant() }}",
        ],
    )
}}
with

changes as (
    select * from {{ ref('int_segments__changes') }}
),

entered as (
    select
        segment,
        profile_id,
        entity_id,
        reason as entry_reason,
        cast(null as string) as exit_reason,
        changed_at as entered_at,
        cast(null as timestamp) as exited_at
    from changes
    where change = 'entered'
),

{% if is_incremental() -%}
exited as (
    select
        memberships.segment,
        memberships.profile_id,
        memberships.entity_id,
        memberships.entry_reason,
        changes.reason as exit_reason,
        memberships.entered_at,
        changes.changed_at as exited_at
    from changes
    inner join {{ earlier(this) }} as memberships
        on
            changes.segment = memberships.segment
            and changes.profile_id = memberships.profile_id
            and changes.entity_id = memberships.entity_id
    where
        changes.change = 'exited'
        and memberships.exited_at is null
),

-- Only what changed is written.
changed as (
    select * from entered
    union all
    select * from exited
),
{%- else -%}
changed as (
    select * from entered
),
{%- endif %}

typed as (
    select
        cast(segment as string) as segment,
        cast(profile_id as string) as profile_id,
        cast(entity_id as string) as entity_id,
        cast(entry_reason as string) as entry_reason,
        cast(exit_reason as string) as exit_reason,
        cast(entered_at as timestamp) as entered_at,
        cast(exited_at as timestamp) as exited_at
    from changed
),

final as (
    select * from typed
    {{ kept_rows(this, 'typed', ['segment', 'profile_id', 'entity_id', 'entered_at']) }}
)

select * from final
