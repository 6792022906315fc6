with

source as (
    select * from {{ read_source(source('operations', 'run_channels')) }}
),

final as (
    select
        cast(run_key as string) as run_key,
        cast(channel as string) as channel,
        cast(position as integer) as channel_position
    from source
)

select * from final
