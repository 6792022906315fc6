with

source as (
    select * from {{ read_source(source('operations', 'run_cap_topics')) }}
),

final as (
    select
        cast(run_key as string) as run_key,
        cast(cap as string) as cap,
        cast(topic as string) as topic
    from source
)

select * from final
