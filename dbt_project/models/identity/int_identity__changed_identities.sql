{#- The records whose identity is not resolved as they are now: new, changed in what identifies them, or
gone. Compared with what was resolved are the records written since, not only those of this build: one that died
in between is made up for. A build that changed nobody's identity leaves no instant behind; its records are
compared once more. -#}
with

known_records as (
    select
        record_id,
        case when not is_removed then identity_hash end as identity_hash
    from {{ ref('int_identity__known_records') }}
    {%- if not var('identity_links').enabled %}
    where coalesce(written_at > {{ last_resolved_at() }}, true)
    {%- endif %}
),

{% if var('identity_links').enabled -%}
-- Links come and go without the records that they join: every record is compared.
record_links as (
    select
        record_id,
        {{ sorted_texts('match_key') }} as links
    from {{ ref('int_identity__record_links') }}
    group by record_id
),

identities as (
    select
        known_records.record_id,
        case
            when known_records.identity_hash is null or record_links.links is null
                then known_records.identity_hash
            else {{ row_hash(['known_records.identity_hash', 'record_links.links']) }}
        end as identity_hash
    from known_records
    left join record_links
        on known_records.record_id = record_links.record_id
),
{%- else -%}
identities as (
    select * from known_records
),
{%- endif %}

resolved as (
    select
        record_id,
        component_id,
        identity_hash
    from {{ earlier_history() }}
    where valid_to is null
),

final as (
    select
        identities.record_id,
        resolved.component_id,
        identities.identity_hash,
        resolved.record_id is null as is_new
    from identities
    left join resolved
        on identities.record_id = resolved.record_id
    where identities.identity_hash is distinct from resolved.identity_hash
)

select * from final
