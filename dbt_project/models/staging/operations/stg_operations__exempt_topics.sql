with

source as (
    select * from {{ read_source(source('operations', 'exempt_topics')) }}
),

final as (
    select cast(topic as string) as topic
    from source
)

select * from final
