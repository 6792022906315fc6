with

source as (
    select * from {{ source('operations', 'suppressions') }}
),

final as (
    select
        cast(channel as varchar) as channel,
        cast(address as varchar) as address,
        cast(reason as varchar) as suppression_reason,
        cast(source as varchar) as suppression_source,
        cast(recorded_at as timestamp) as recorded_at
    from source
)

select * from final
