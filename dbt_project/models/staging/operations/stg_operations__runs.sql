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
        cast(one_per as string) as one_per,
        cast(sample_percent as double) as sample_percent,
        cast(sample_salt as string) as sample_salt,
        cast(max_size as integer) as max_size,
        nullif(cast(size_score as string), '') as size_score,
        nullif(cast(limit_score as string), '') as limit_score,
        nullif(cast(priority_score as string), '') as priority_score,
        cast(consent as string) as consent,
        cast(is_allow_listed as boolean) as is_allow_listed,
        cast(is_timed as boolean) as is_timed,
        cast(explore_percent as double) as explore_percent,
        nullif(cast(explore_salt as string), '') as explore_salt,
        cast(global_holdout_percent as double) as global_holdout_percent,
        cast(global_holdout_salt as string) as global_holdout_salt,
        nullif(cast(wave_salt as string), '') as wave_salt,
        cast(is_ahead as boolean) as is_ahead,
        cast(history_from as timestamp) as history_from,
        cast(not_again_since as timestamp) as not_again_since,
        cast(logical_at as timestamp) as logical_at,
        cast(decided_at as timestamp) as decided_at,
        cast(valid_until as timestamp) as valid_until
    from source
)

select * from final
