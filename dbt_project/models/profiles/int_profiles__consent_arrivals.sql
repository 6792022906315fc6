{{
    config(
        materialized='incremental',
        incremental_strategy='append',
        full_refresh=false,
        pre_hook="{{ refuse_to_go_back(this, ['known_from']) }}",
    )
}}
with

answers as (
    select * from {{ ref('stg_shop__consents') }}
),

final as (
    select
        answers.consent_id,
        {{ as_of() }} as known_from
    from answers
    {%- if is_incremental() %}
    left join {{ this }} as arrived
        on answers.consent_id = arrived.consent_id
    where arrived.consent_id is null
    {%- endif %}
)

select * from final
