with

source as (
    select * from {{ source('operations', 'run_segments') }}
),

final as (
    select
        cast(run_key as varchar) as run_key,
        cast(role as varchar) as segment_role,
        cast(segment as varchar) as segment
    from source
)

select * from final
