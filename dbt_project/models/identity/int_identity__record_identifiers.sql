with

source_records as (
    select * from {{ ref('int_identity__source_records') }}
),

final as (
    select
        record_id,
        source,
        'crm_id' as namespace,
        source_id as identifier
    from source_records
    where source = 'crm'
    union all
    select
        record_id,
        source,
        'account_id' as namespace,
        source_id as identifier
    from source_records
    where source = 'shop'
    union all
    select
        record_id,
        source,
        'email' as namespace,
        email_identifier as identifier
    from source_records
    where email_identifier is not null
    union all
    select
        record_id,
        source,
        'phone' as namespace,
        phone_identifier as identifier
    from source_records
    where phone_identifier is not null
    union all
    select
        record_id,
        source,
        'device_id' as namespace,
        device_id as identifier
    from source_records
    where device_id is not null
)

select * from final
