with

answers as (
    select * from {{ ref('consent_answers') }}
),

final as (
    select
        profile_id,
        channel,
        topic,
        status,
        source,
        recorded_at
    from answers
    where superseded_at is null
)

select * from final
