with

source as (
    select * from {{ read_source(source('shop', 'complaints')) }}
),

final as (
    select
        cast(complaint_id as string) as complaint_id,
        cast(account_id as string) as account_id,
        cast(crm_id as string) as crm_id,
        cast(email as string) as email,
        cast(subject as string) as subject,
        cast(opened_at as timestamp) as opened_at,
        cast(closed_at as timestamp) as closed_at
    from source
)

select * from final
