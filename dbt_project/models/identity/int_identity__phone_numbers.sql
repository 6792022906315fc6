{#- Parsing a number takes a thousand times as long as reading one: each is parsed once, and remembered. -#}
{{ config(
    materialized='incremental',
    incremental_strategy='append',
) }}
with

changed_records as (
    select * from {{ ref('int_identity__changed_records') }}
),

written as (
    select distinct
        {{ trimmed('phone') }} as phone,
        coalesce(upper({{ trimmed('country') }}), '') as country
    from changed_records
    where phone is not null
),

{% if is_incremental() -%}
remembered as (
    select
        phone,
        country
    from {{ this }}
    where revision = {{ var('identity_revision') }}
),

unparsed as (
    select
        written.phone,
        written.country
    from written
    left join remembered
        on
            written.phone = remembered.phone
            and written.country = remembered.country
    where
        written.phone is not null
        and remembered.phone is null
),
{%- else -%}
unparsed as (
    select * from written
    where phone is not null
),
{%- endif %}

parsed as (
    select
        phone,
        country,
        phone_e164(phone, country) as phone_identifier
    from unparsed
),

final as (
    select
        phone,
        country,
        phone_identifier,
        case when phone_identifier is null then phone_problem(phone, country) end as problem,
        {{ var('identity_revision') }} as revision
    from parsed
)

select * from final
