with

touched_holders as (
    select * from {{ ref('int_identity__touched_holders') }}
),

final as (
    select
        cast(namespace as string) as namespace,
        cast(identifier as string) as identifier,
        cast(count(*) as bigint) as records_count,
        cast({{ records_limit('namespace') }} as integer) as records_limit
    from touched_holders
    where is_overshared
    group by namespace, identifier
)

select * from final
