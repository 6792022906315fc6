-- depends_on: {{ ref('int_profiles__owners') }}
with

complaints as (
    select * from {{ ref('stg_shop__complaints') }}
),

opened as (
    select *
    from complaints
    where opened_at <= {{ as_of() }}
),

attributed as (
    {{ with_profile_id('opened') }}
),

final as (
    select
        complaint_id,
        profile_id,
        opened_at,
        coalesce(closed_at <= {{ as_of() }}, false) as is_closed
    from attributed
    where profile_id is not null
)

select * from final
