{#- Every record that holds an identifier which a changed record holds too, or which was set aside before:
whose limits may be passed or kept otherwise now. On a first build, when everything is resolved anyway,
only those of identifiers above their limit. -#}
-- depends_on: {{ ref('int_identity__changed_identities') }}
with

record_identifiers as (
    {{- identifiers_of(ref('int_identity__source_records'), ['record_id'], namespaces_that_count()) }}
),

{% if is_first_resolution() -%}
touched as (
    select
        namespace,
        identifier
    from record_identifiers
    group by namespace, identifier
    having count(*) > {{ records_limit('namespace') }}
),
{%- else -%}
changed_identities as (
    select * from {{ ref('int_identity__changed_identities') }}
),

changed_records as (
    select source_records.*
    from {{ ref('int_identity__source_records') }} as source_records
    inner join changed_identities
        on source_records.record_id = changed_identities.record_id
),

changed_identifiers as (
    {{- identifiers_of('changed_records', ['record_id'], namespaces_that_count()) }}
),

held_records as (
    select
        source_records.*,
        history.set_aside
    from {{ earlier_history() }} as history
    inner join {{ ref('int_identity__source_records') }} as source_records
        on history.record_id = source_records.record_id
    where
        history.valid_to is null
        and history.set_aside != ''
),

held_identifiers as (
    {{- identifiers_of('held_records', ['set_aside'], namespaces_that_count()) }}
),

touched as (
    select
        namespace,
        identifier
    from changed_identifiers
    union distinct
    select
        namespace,
        identifier
    from held_identifiers
    where {{ is_set_aside('set_aside', 'namespace') }}
),
{%- endif %}

holders as (
    select
        record_identifiers.record_id,
        record_identifiers.namespace,
        record_identifiers.identifier,
        count(*) over (
            partition by record_identifiers.namespace, record_identifiers.identifier
        ) as records_count
    from record_identifiers
    inner join touched
        on
            record_identifiers.namespace = touched.namespace
            and record_identifiers.identifier = touched.identifier
),

final as (
    select
        record_id,
        namespace,
        identifier,
        coalesce(records_count > {{ records_limit('namespace') }}, false) as is_overshared
    from holders
)

select * from final
