with

source as (
    select * from {{ read_source(source('operations', 'run_caps')) }}
),

final as (
    select
        cast(run_key as string) as run_key,
        cast(cap as string) as cap,
        cast(max_messages as integer) as max_messages,
        cast(window_seconds as bigint) as window_seconds,
        cast(is_recipient_time as boolean) as is_recipient_time,
        cast(counted_per as string) as counted_per
    from source
)

select * from final
