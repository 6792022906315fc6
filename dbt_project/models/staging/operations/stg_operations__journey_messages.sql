with

source as (
    select * from {{ read_source(source('operations', 'journey_messages')) }}
),

final as (
    select
        cast(message_id as string) as message_id,
        cast(run_key as string) as run_key,
        cast(campaign as string) as campaign,
        cast(journey as string) as journey,
        cast(step as string) as step,
        cast(topic as string) as topic,
        cast(profile_id as string) as profile_id,
        cast(entity_id as string) as entity_id,
        cast(channel as string) as channel,
        cast(variant as string) as variant,
        cast(verdict as string) as verdict,
        cast(reason as string) as reason,
        cast(cap as string) as cap,
        cast(capacity as string) as capacity,
        cast(sender_domain as string) as sender_domain,
        cast(address_domain as string) as address_domain,
        cast(message_state as string) as message_state,
        cast(delivery_reason as string) as delivery_reason,
        cast(provider_id as string) as provider_id,
        cast(code as string) as code,
        cast(version as integer) as version,
        cast(batch_number as integer) as batch_number,
        cast(attempts as integer) as attempts_count,
        cast(is_counted as boolean) as is_counted,
        cast(reached_at as timestamp) as reached_at,
        cast(send_at as timestamp) as send_at,
        cast(settled_at as timestamp) as settled_at,
        cast(first_claimed_at as timestamp) as first_claimed_at,
        cast(left_at as timestamp) as left_at,
        cast(exported_at as timestamp) as exported_at
    from source
)

select * from final
