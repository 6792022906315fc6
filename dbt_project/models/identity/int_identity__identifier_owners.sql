{#- A namespace that needs a first name to join (a household's phone) says whose an identifier is only while
one profile has it. An email joins by itself: where a limit keeps two people apart who share one, it is
theirs with whom a guest's orders from it are, else the one's with the oldest record of it. -#}
{{ config(materialized='view') }}
{%- set shared_by_households = namespaces_with('together_with').keys() | list %}
with

record_identifiers as (
    select * from {{ ref('int_identity__record_identifiers') }}
),

record_profiles as (
    select * from {{ ref('int_identity__record_profiles') }}
),

source_records as (
    select * from {{ ref('int_identity__source_records') }}
),

profile_identifiers as (
    select * from {{ ref('profile_identifiers') }}
),

held as (
    select
        namespace,
        identifier,
        min(profile_id) as profile_id,
        max(profile_id) as last_profile_id
    from profile_identifiers
    group by namespace, identifier
),

shared as (
    select *
    from held
    where
        profile_id != last_profile_id
        {%- for name in shared_by_households %}
        and namespace != '{{ name }}'
        {%- endfor %}
),

ordered as (
    select
        shared.namespace,
        shared.identifier,
        record_profiles.profile_id,
        row_number() over (
            partition by shared.namespace, shared.identifier
            order by
                case when source_records.source = 'order' then 0 else 1 end asc,
                {{ by_age('source_records.') }}
        ) as choice
    from shared
    inner join record_identifiers
        on
            shared.namespace = record_identifiers.namespace
            and shared.identifier = record_identifiers.identifier
    inner join record_profiles
        on record_identifiers.record_id = record_profiles.record_id
    inner join source_records
        on record_identifiers.record_id = source_records.record_id
),

final as (
    select
        namespace,
        identifier,
        profile_id
    from held
    where profile_id = last_profile_id
    union all
    select
        namespace,
        identifier,
        profile_id
    from ordered
    where choice = 1
)

select * from final
