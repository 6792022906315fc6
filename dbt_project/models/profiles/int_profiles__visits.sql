with

web_events as (
    select * from {{ ref('stg_shop__web_events') }}
),

owners as (
    select * from {{ ref('int_profiles__owners') }}
),

-- Events are counted per name before anybody asks whose name it is: there are many times as many events.
visits as (
    select
        account_id,
        device_id,
        max(occurred_at) as seen_at
    from web_events
    where occurred_at <= {{ as_of() }}
    group by account_id, device_id
),

final as (
    select
        owners.profile_id,
        visits.device_id,
        visits.seen_at
    from visits
    left join owners
        on
            owners.namespace = 'account_id'
            and visits.account_id = owners.identifier
)

select * from final
