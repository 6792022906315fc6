with

source as (
    select * from {{ read_source(source('operations', 'opt_outs')) }}
),

final as (
    select
        cast(opt_out_id as bigint) as opt_out_id,
        cast(profile_id as string) as profile_id,
        cast(channel as string) as channel,
        nullif(cast(address as string), '') as address,
        cast(topic as string) as topic,
        cast(source as string) as opt_out_source,
        cast(recorded_at as timestamp) as recorded_at
    from source
)

select * from final
