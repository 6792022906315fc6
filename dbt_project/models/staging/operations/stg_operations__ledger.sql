with

source as (
    select * from {{ read_source(source('operations', 'ledger')) }}
),

final as (
    select
        cast(message_id as string) as message_id,
        cast(run_key as string) as run_key,
        cast(campaign as string) as campaign,
        cast(profile_id as string) as profile_id,
        cast(channel as string) as channel,
        cast(variant as string) as variant,
        cast(state as string) as message_state,
        cast(reason as string) as delivery_reason,
        cast(provider_id as string) as provider_id,
        cast(code as string) as code,
        cast(batch_number as integer) as batch_number,
        cast(attempts as integer) as attempts_count,
        cast(first_claimed_at as timestamp) as first_claimed_at,
        cast(settled_at as timestamp) as settled_at,
        cast(exported_at as timestamp) as exported_at
    from source
)

select * from final
