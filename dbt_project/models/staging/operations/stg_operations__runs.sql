with

source as (
    select * from {{ read_source(source('operations', 'runs')) }}
),

final as (
    select
        cast(run_key as string) as run_key,
        cast(campaign as string) as campaign,
        cast(topic as string) as topic,
        cast(channel_choice as string) as channel_choice,
        cast(holdout_salt as string) as holdout_salt,
        nullif(cast(variant_salt as string), '') as variant_salt,
        cast(priority as integer) as priority,
        cast(holdout_percent as double) as holdout_percent,
        cast(batch_size as integer) as batch_size,
        cast(logical_at as timestamp) as logical_at,
        cast(decided_at as timestamp) as decided_at,
        cast(valid_until as timestamp) as valid_until
    from source
)

select * from final
