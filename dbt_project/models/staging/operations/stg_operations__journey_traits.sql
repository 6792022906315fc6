with

source as (
    select * from {{ read_source(source('operations', 'journey_traits')) }}
),

final as (
    select
        cast(profile_id as string) as profile_id,
        cast(trait as string) as trait,
        cast(value as string) as trait_value,
        cast(value_type as string) as value_type,
        cast(journey as string) as journey,
        cast(set_at as timestamp) as set_at
    from source
)

select * from final
