{{
    config(
        materialized='incremental',
        incremental_strategy='delete+insert',
        unique_key=['segment', 'profile_id', 'entered_at'],
        full_refresh=false,
        pre_hook="{{ refuse_to_go_back(this, ['entered_at', 'exited_at']) }}",
    )
}}
{{ refuse_unlisted_segments() }}
with

-- Everyone who is in a segment now.
current_members as (
    {%- for segment in var('segments') %}
    select
        '{{ segment }}' as segment,
        profile_id
    from {{ ref(segment) }}
    {{- ' union all' if not loop.last }}
    {%- endfor %}
),

{% if is_incremental() -%}
open_memberships as (
    select * from {{ this }}
    where exited_at is null
),

entered as (
    select
        current_members.segment,
        current_members.profile_id,
        {{ as_of() }} as entered_at,
        cast(null as timestamp) as exited_at
    from current_members
    left join open_memberships
        on
            current_members.segment = open_memberships.segment
            and current_members.profile_id = open_memberships.profile_id
    where open_memberships.profile_id is null
),

exited as (
    select
        open_memberships.segment,
        open_memberships.profile_id,
        open_memberships.entered_at,
        {{ as_of() }} as exited_at
    from open_memberships
    left join current_members
        on
            open_memberships.segment = current_members.segment
            and open_memberships.profile_id = current_members.profile_id
    where current_members.profile_id is null
),

-- Only what changed is written.
changed as (
    select * from entered
    union all
    select * from exited
),
{%- else -%}
changed as (
    select
        segment,
        profile_id,
        {{ as_of() }} as entered_at,
        cast(null as timestamp) as exited_at
    from current_members
),
{%- endif %}

final as (
    select
        cast(segment as string) as segment,
        cast(profile_id as string) as profile_id,
        cast(entered_at as timestamp) as entered_at,
        cast(exited_at as timestamp) as exited_at
    from changed
)

select * from final
