with

source as (
    select * from {{ read_source(source('operations', 'run_segments')) }}
),

final as (
    select
        cast(run_key as string) as run_key,
        cast(role as string) as segment_role,
        cast(segment as string) as segment
    from source
)

select * from final
