{#- The records whose identity is not resolved as they are now: new, changed in what identifies them, or
gone. Against what was resolved, not against what this build changed: a build that died in between is
made up for. -#}
with

source_records as (
    select * from {{ ref('int_identity__source_records') }}
),

{% if var('identity_links').enabled -%}
record_links as (
    select
        record_id,
        {{ sorted_texts('match_key') }} as links
    from {{ ref('int_identity__record_links') }}
    group by record_id
),

identities as (
    select
        source_records.record_id,
        case
            when record_links.links is null then source_records.identity_hash
            else {{ row_hash(['source_records.identity_hash', 'record_links.links']) }}
        end as identity_hash
    from source_records
    left join record_links
        on source_records.record_id = record_links.record_id
),
{%- else -%}
identities as (
    select
        record_id,
        identity_hash
    from source_records
),
{%- endif %}

resolved as (
    select
        record_id as resolved_record_id,
        component_id,
        identity_hash as resolved_identity_hash
    from {{ earlier_history() }}
    where valid_to is null
),

final as (
    select
        coalesce(identities.record_id, resolved.resolved_record_id) as record_id,
        resolved.component_id,
        identities.identity_hash,
        resolved.resolved_record_id is null as is_new
    from identities
    full outer join resolved
        on identities.record_id = resolved.resolved_record_id
    where
        identities.record_id is null
        or resolved.resolved_record_id is null
        or identities.identity_hash != resolved.resolved_identity_hash
)

select * from final
