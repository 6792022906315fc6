{#- Links that a model of probabilities found, as keys of two records each. -#}
{{ config(enabled=var('identity_links').enabled) }}
with

links as (
    select * from {{ ref('stg_identity__links') }}
),

source_records as (
    select * from {{ ref('int_identity__source_records') }}
),

believed as (
    select distinct
        least(left_record_id, right_record_id) as first_record_id,
        greatest(left_record_id, right_record_id) as second_record_id
    from links
    where
        match_probability >= {{ var('identity_links').min_probability }}
        and left_record_id != right_record_id
),

-- A link to a record that is not known joins nobody.
known as (
    select believed.*
    from believed
    inner join source_records as first_records
        on believed.first_record_id = first_records.record_id
    inner join source_records as second_records
        on believed.second_record_id = second_records.record_id
),

final as (
    select
        first_record_id as record_id,
        first_record_id || ' - ' || second_record_id as link_id,
        'link|' || first_record_id || '|' || second_record_id as match_key
    from known
    union all
    select
        second_record_id as record_id,
        first_record_id || ' - ' || second_record_id as link_id,
        'link|' || first_record_id || '|' || second_record_id as match_key
    from known
)

select * from final
