with

source as (
    select * from {{ read_source(source('operations', 'feedback')) }}
),

final as (
    select
        cast(feedback_key as string) as feedback_id,
        cast(message_id as string) as message_id,
        cast(profile_id as string) as profile_id,
        cast(channel as string) as channel,
        cast(kind as string) as feedback_kind,
        cast(bounce_class as string) as bounce_class,
        cast(automation as string) as automation,
        cast(provider as string) as provider,
        cast(target as string) as target,
        cast(code as string) as code,
        cast(position as bigint) as position,
        cast(is_automated as boolean) as is_automated,
        cast(occurred_at as timestamp) as occurred_at,
        cast(received_at as timestamp) as received_at
    from source
)

select * from final
