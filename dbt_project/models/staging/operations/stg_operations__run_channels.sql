with

source as (
    select * from {{ source('operations', 'run_channels') }}
),

final as (
    select
        cast(run_key as varchar) as run_key,
        cast(channel as varchar) as channel,
        cast(position as integer) as channel_position
    from source
)

select * from final
