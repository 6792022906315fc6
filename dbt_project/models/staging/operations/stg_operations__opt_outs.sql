with

source as (
    select * from {{ source('operations', 'opt_outs') }}
),

final as (
    select
        cast(opt_out_id as bigint) as opt_out_id,
        cast(profile_id as varchar) as profile_id,
        cast(channel as varchar) as channel,
        cast(address as varchar) as address,
        cast(topic as varchar) as topic,
        cast(source as varchar) as opt_out_source,
        cast(recorded_at as timestamp) as recorded_at
    from source
)

select * from final
