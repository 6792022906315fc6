with

source as (
    select * from {{ read_source(source('operations', 'allow_list')) }}
),

final as (
    select cast(entry as string) as entry
    from source
)

select * from final
