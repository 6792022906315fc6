with

source as (
    select * from {{ read_source(source('shop', 'products')) }}
),

final as (
    select
        cast(product_id as string) as product_id,
        cast(name as string) as product_name,
        cast(category as string) as category
    from source
)

select * from final
