{{ config(enabled=var('identity_links').enabled) }}
with

source as (
    select * from {{ read_source(source('identity', 'identity_links')) }}
),

final as (
    select
        cast(source_dataset_l || '|' || unique_id_l as string) as left_record_id,
        cast(source_dataset_r || '|' || unique_id_r as string) as right_record_id,
        cast(match_probability as double) as match_probability
    from source
)

select * from final
