with

source as (
    select * from {{ read_source(source('shop', 'complaints')) }}
),

final as (
    select
        cast(complaint_id as varchar) as complaint_id,
        cast(account_id as varchar) as account_id,
        cast(crm_id as varchar) as crm_id,
        cast(email as varchar) as email,
        cast(subject as varchar) as subject,
        cast(opened_at as timestamp) as opened_at,
        cast(closed_at as timestamp) as closed_at
    from source
)

select * from final
