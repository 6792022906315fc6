{{ config(materialized='view') }}
with

record_history as (
    select * from {{ ref('int_identity__record_history') }}
),

final as (
    select
        record_id,
        profile_id,
        set_aside,
        cut_by
    from record_history
    where
        valid_to is null
        and profile_id is not null
)

select * from final
