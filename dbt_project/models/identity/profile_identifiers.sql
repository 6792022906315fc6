{{ config(materialized='view') }}
with

record_identifiers as (
    select * from {{ ref('int_identity__record_identifiers') }}
),

record_profiles as (
    select * from {{ ref('int_identity__record_profiles') }}
),

final as (
    select distinct
        cast(record_profiles.profile_id as string) as profile_id,
        cast(record_identifiers.namespace as string) as namespace,
        cast(record_identifiers.identifier as string) as identifier,
        cast(record_identifiers.source as string) as source
    from record_identifiers
    inner join record_profiles
        on record_identifiers.record_id = record_profiles.record_id
    where not {{ is_set_aside('record_profiles.set_aside', 'record_identifiers.namespace') }}
)

select * from final
