{{ config(materialized='view') }}
with

holders as (
    select * from {{ ref('int_profiles__holders') }}
),

final as (
    select
        namespace,
        identifier,
        profile_id
    from holders
    where is_owner
)

select * from final
