with

profile_identifiers as (
    select * from {{ ref('profile_identifiers') }}
),

identifiers as (
    select
        namespace,
        identifier,
        min(profile_id) as first_profile_id,
        max(profile_id) as last_profile_id
    from profile_identifiers
    group by namespace, identifier
),

-- Few are shared, and only those are worth a second look.
shared as (
    select distinct
        profile_identifiers.namespace,
        profile_identifiers.identifier,
        profile_identifiers.profile_id
    from profile_identifiers
    inner join identifiers
        on
            profile_identifiers.namespace = identifiers.namespace
            and profile_identifiers.identifier = identifiers.identifier
    where identifiers.first_profile_id != identifiers.last_profile_id
),

final as (
    select
        namespace,
        identifier,
        first_profile_id as profile_id,
        false as is_shared
    from identifiers
    where first_profile_id = last_profile_id
    union all
    select
        namespace,
        identifier,
        profile_id,
        true as is_shared
    from shared
)

select * from final
