with

source as (
    select * from {{ read_source(source('operations', 'ledger_news')) }}
),

final as (
    select
        cast(message_id as string) as message_id,
        cast(run_key as string) as run_key,
        cast(state as string) as message_state
    from source
)

select * from final
