{{ config(materialized='view') }}
with

source_records as (
    select * from {{ ref('int_identity__source_records') }}
),

final as (
    {{- identifiers_of('source_records', ['record_id', 'source']) }}
)

select * from final
