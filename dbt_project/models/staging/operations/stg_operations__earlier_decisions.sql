with

source as (
    select * from {{ read_source(source('operations', 'earlier_decisions')) }}
),

final as (
    select
        cast(message_id as string) as message_id,
        cast(run_key as string) as run_key,
        cast(campaign as string) as campaign,
        cast(profile_id as string) as profile_id,
        cast(entity_id as string) as entity_id,
        cast(channel as string) as channel,
        cast(verdict as string) as verdict,
        cast(address as string) as address,
        cast(send_at as timestamp) as send_at
    from source
)

select * from final
