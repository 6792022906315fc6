with

source as (
    select * from {{ source('operations', 'ledger') }}
),

final as (
    select
        cast(message_id as varchar) as message_id,
        cast(run_key as varchar) as run_key,
        cast(campaign as varchar) as campaign,
        cast(profile_id as varchar) as profile_id,
        cast(channel as varchar) as channel,
        cast(state as varchar) as message_state,
        cast(reason as varchar) as delivery_reason,
        cast(provider_id as varchar) as provider_id,
        cast(code as varchar) as code,
        cast(batch_number as integer) as batch_number,
        cast(attempts as integer) as attempts_count,
        cast(first_claimed_at as timestamp) as first_claimed_at,
        cast(settled_at as timestamp) as settled_at,
        cast(exported_at as timestamp) as exported_at
    from source
)

select * from final
