with

source as (
    select * from {{ read_source(source('operations', 'earlier_runs')) }}
),

final as (
    select
        cast(run_key as string) as run_key,
        cast(topic as string) as topic
    from source
)

select * from final
