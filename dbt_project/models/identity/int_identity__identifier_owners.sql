with

profile_identifiers as (
    select * from {{ ref('profile_identifiers') }}
),

final as (
    select
        namespace,
        identifier,
        min(profile_id) as profile_id
    from profile_identifiers
    group by namespace, identifier
    having count(distinct profile_id) = 1
)

select * from final
