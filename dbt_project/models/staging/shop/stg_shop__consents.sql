with

source as (
    select * from {{ read_source(source('shop', 'consents')) }}
),

final as (
    select
        cast(consent_id as varchar) as consent_id,
        cast(namespace as varchar) as namespace,
        cast(identifier as varchar) as identifier,
        cast(channel as varchar) as channel,
        cast(topic as varchar) as topic,
        cast(status as varchar) as consent_status,
        cast(source as varchar) as consent_source,
        cast(recorded_at as timestamp) as recorded_at
    from source
)

select * from final
