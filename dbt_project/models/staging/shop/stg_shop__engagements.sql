with

source as (
    select * from {{ read_source(source('shop', 'engagements')) }}
),

final as (
    select
        cast(event_id as string) as event_id,
        cast(channel as string) as channel,
        cast(event_type as string) as event_type,
        cast(namespace as string) as namespace,
        cast(identifier as string) as identifier,
        cast(occurred_at as timestamp) as occurred_at
    from source
)

select * from final
