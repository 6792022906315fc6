with

source as (
    select * from {{ read_source(source('shop', 'consents')) }}
),

final as (
    select
        cast(consent_id as string) as consent_id,
        cast(namespace as string) as namespace,
        cast(identifier as string) as identifier,
        cast(channel as string) as channel,
        cast(topic as string) as topic,
        cast(status as string) as consent_status,
        cast(source as string) as consent_source,
        cast(recorded_at as timestamp) as recorded_at
    from source
)

select * from final
