with

source as (
    select * from {{ read_source(source('operations', 'stopped_runs')) }}
),

final as (
    select cast(run_key as string) as run_key
    from source
)

select * from final
