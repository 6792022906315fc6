{{ config(materialized='view') }}
with

final as (
    {{- identifiers_of(ref('int_identity__source_records'), ['record_id', 'source']) }}
)

select * from final
