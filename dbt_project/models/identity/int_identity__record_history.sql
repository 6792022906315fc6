{#- Who was whom, when: one row per record and period, and the only memory of identity. It is the last to be
written, so that a build that dies before leaves no trace of half a resolution. Read it through
int_identity__record_profiles, identity_history and the reports. -#}
{{ config(
    materialized='incremental',
    full_refresh=false,
    incremental_strategy=replace_strategy(),
    unique_key=['record_id', 'valid_from'],
    pre_hook=[
        "{{ refuse_to_go_back(this, ['valid_from', 'valid_to']) }}",
        "{{ keep_earlier(this) }}",
    ],
) }}
with

affected_records as (
    select * from {{ ref('int_identity__affected_records') }}
),

clusters as (
    select * from {{ ref('int_identity__clusters') }}
),

assigned_profiles as (
    select * from {{ ref('int_identity__assigned_profiles') }}
),

resolved as (
    select
        affected_records.record_id,
        assigned_profiles.profile_id,
        clusters.component_id,
        affected_records.identity_hash,
        affected_records.set_aside,
        clusters.cut_by,
        coalesce(assigned_profiles.founding_record_id = affected_records.record_id, false) as is_founder,
        affected_records.created_at,
        affected_records.previous_profile_id,
        affected_records.previous_valid_from
    from affected_records
    inner join clusters
        on affected_records.record_rank = clusters.record_rank
    left join assigned_profiles
        on
            clusters.cluster_rank = assigned_profiles.cluster_rank
            and not affected_records.is_nobody
),

current_rows as (
    select
        record_id,
        profile_id,
        component_id,
        identity_hash,
        set_aside,
        cut_by,
        is_founder,
        created_at,
        case
            when coalesce(profile_id, '') = coalesce(previous_profile_id, '')
                then coalesce(previous_valid_from, {{ as_of() }})
            else {{ as_of() }}
        end as valid_from,
        cast(null as timestamp) as valid_to
    from resolved
),

{% if is_incremental() -%}
open_rows as (
    select
        history.*,
        affected_records.is_removed
    from {{ earlier(this) }} as history
    inner join affected_records
        on history.record_id = affected_records.record_id
    where history.valid_to is null
),

written as (
    select current_rows.*
    from current_rows
    left join open_rows
        on
            current_rows.record_id = open_rows.record_id
            and current_rows.valid_from = open_rows.valid_from
    where
        open_rows.record_id is null
        or open_rows.profile_id is distinct from current_rows.profile_id
        or open_rows.component_id is distinct from current_rows.component_id
        or open_rows.identity_hash is distinct from current_rows.identity_hash
        or open_rows.set_aside is distinct from current_rows.set_aside
        or open_rows.cut_by is distinct from current_rows.cut_by
        or open_rows.is_founder is distinct from current_rows.is_founder
        or open_rows.created_at is distinct from current_rows.created_at
),

-- A row of this very instant is replaced, not ended: it held at no time.
ended as (
    select
        open_rows.record_id,
        open_rows.profile_id,
        open_rows.component_id,
        open_rows.identity_hash,
        open_rows.set_aside,
        open_rows.cut_by,
        open_rows.is_founder,
        open_rows.created_at,
        open_rows.valid_from,
        {{ as_of() }} as valid_to
    from open_rows
    left join resolved
        on open_rows.record_id = resolved.record_id
    where
        open_rows.is_removed
        or (
            open_rows.valid_from < {{ as_of() }}
            and open_rows.profile_id is distinct from resolved.profile_id
        )
),

changed as (
    select * from written
    union all
    select * from ended
),
{%- else -%}
changed as (
    select * from current_rows
),
{%- endif %}

final as (
    select * from changed
    {{ kept_rows(this, 'changed', ['record_id', 'valid_from']) }}
)

select * from final
