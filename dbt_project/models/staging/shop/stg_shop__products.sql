with

source as (
    select * from {{ read_source(source('shop', 'products')) }}
),

final as (
    select
        cast(product_id as varchar) as product_id,
        cast(name as varchar) as product_name,
        cast(category as varchar) as category
    from source
)

select * from final
