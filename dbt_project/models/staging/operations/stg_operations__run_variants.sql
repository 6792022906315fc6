with

source as (
    select * from {{ read_source(source('operations', 'run_variants')) }}
),

final as (
    select
        cast(run_key as string) as run_key,
        cast(variant as string) as variant,
        cast(bucket_from as integer) as bucket_from,
        cast(bucket_to as integer) as bucket_to
    from source
)

select * from final
