{{ config(materialized='view') }}
with

record_history as (
    select * from {{ ref('int_identity__record_history') }}
),

final as (
    select
        cast(record_id as string) as record_id,
        cast(profile_id as string) as profile_id,
        cast(valid_from as timestamp) as valid_from,
        cast(valid_to as timestamp) as valid_to
    from record_history
    where profile_id is not null
)

select * from final
