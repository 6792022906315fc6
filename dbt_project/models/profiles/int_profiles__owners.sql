with

identifier_owners as (
    select * from {{ ref('int_identity__identifier_owners') }}
),

final as (
    select
        namespace,
        identifier,
        profile_id
    from identifier_owners
)

select * from final
