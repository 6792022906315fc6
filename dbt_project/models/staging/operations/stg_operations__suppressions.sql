with

source as (
    select * from {{ read_source(source('operations', 'suppressions')) }}
),

final as (
    select
        cast(channel as string) as channel,
        cast(address as string) as address,
        cast(reason as string) as suppression_reason,
        cast(source as string) as suppression_source,
        cast(recorded_at as timestamp) as recorded_at
    from source
)

select * from final
