with

record_identifiers as (
    select * from {{ ref('int_identity__record_identifiers') }}
),

record_profiles as (
    select * from {{ ref('int_identity__record_profiles') }}
),

overshared_identifiers as (
    select * from {{ ref('overshared_identifiers') }}
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
    left join overshared_identifiers
        on
            record_identifiers.namespace = overshared_identifiers.namespace
            and record_identifiers.identifier = overshared_identifiers.identifier
    where overshared_identifiers.identifier is null
)

select * from final
