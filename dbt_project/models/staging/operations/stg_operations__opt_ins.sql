with

source as (
    select * from {{ read_source(source('operations', 'opt_ins')) }}
),

final as (
    select
        cast(opt_in_id as bigint) as opt_in_id,
        cast(profile_id as string) as profile_id,
        cast(channel as string) as channel,
        cast(topic as string) as topic,
        cast(source as string) as opt_in_source,
        cast(recorded_at as timestamp) as recorded_at
    from source
)

select * from final
