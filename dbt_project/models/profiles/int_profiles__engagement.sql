-- Owners are read in place: DuckDB copies a CTE that is read more than once.
with

engagements as (
    select * from {{ ref('stg_shop__engagements') }}
),

feedback as (
    select * from {{ ref('stg_operations__feedback') }}
),

web_events as (
    select * from {{ ref('stg_shop__web_events') }}
),

-- Events are counted per name before anybody asks whose name it is: there are ten times as many events.
messages as (
    select
        namespace,
        identifier,
        lower({{ trimmed('channel') }}) as channel,
        count(case when event_type = 'open' and occurred_at > {{ as_of() }} - interval '90' day then 1 end)
            as opens_count,
        count(case when event_type = 'click' and occurred_at > {{ as_of() }} - interval '90' day then 1 end)
            as clicks_count,
        max(occurred_at) as engaged_at
    from engagements
    where occurred_at <= {{ as_of() }}
    group by namespace, identifier, lower({{ trimmed('channel') }})
),

named_messages as (
    {{ with_named_identifier('messages') }}
),

-- Our own links, people's reactions only. A message's profile may have been merged into another since.
own_messages as (
    select
        profile_id,
        channel,
        count(case when feedback_kind = 'opened' and occurred_at > {{ as_of() }} - interval '90' day then 1 end)
            as opens_count,
        count(case when feedback_kind = 'clicked' and occurred_at > {{ as_of() }} - interval '90' day then 1 end)
            as clicks_count,
        max(occurred_at) as engaged_at
    from feedback
    where
        occurred_at <= {{ as_of() }}
        and profile_id is not null
        and feedback_kind in ('opened', 'clicked')
        and not is_automated
    group by profile_id, channel
),

visits as (
    select
        account_id,
        device_id,
        max(occurred_at) as seen_at
    from web_events
    where occurred_at <= {{ as_of() }}
    group by account_id, device_id
),

-- A device that several people use tells nothing about one of them unless an account was signed in.
owned_visits as (
    select
        coalesce(by_account.profile_id, by_device.profile_id) as profile_id,
        visits.seen_at
    from visits
    left join {{ ref('int_profiles__owners') }} as by_account
        on
            by_account.namespace = 'account_id'
            and visits.account_id = by_account.identifier
    left join {{ ref('int_profiles__owners') }} as by_device
        on
            by_device.namespace = 'device_id'
            and visits.device_id = by_device.identifier
),

reactions as (
    select
        owners.profile_id,
        named_messages.channel,
        named_messages.opens_count,
        named_messages.clicks_count,
        named_messages.engaged_at
    from named_messages
    inner join {{ ref('int_profiles__owners') }} as owners
        on
            named_messages.named_namespace = owners.namespace
            and named_messages.named_identifier = owners.identifier
    union all
    select
        coalesce(redirects.current_profile_id, own_messages.profile_id) as profile_id,
        own_messages.channel,
        own_messages.opens_count,
        own_messages.clicks_count,
        own_messages.engaged_at
    from own_messages
    left join {{ ref('profile_redirects') }} as redirects
        on own_messages.profile_id = redirects.profile_id
    union all
    select
        profile_id,
        'web' as channel,
        0 as opens_count,
        0 as clicks_count,
        seen_at as engaged_at
    from owned_visits
    where profile_id is not null
),

final as (
    select
        profile_id,
        sum(case when channel = 'email' then opens_count end) as email_opens_90d_count,
        sum(case when channel = 'email' then clicks_count end) as email_clicks_90d_count,
        sum(case when channel = 'sms' then clicks_count end) as sms_clicks_90d_count,
        sum(case when channel = 'push' then opens_count end) as push_opens_90d_count,
        sum(case when channel = 'push' then clicks_count end) as push_clicks_90d_count,
        max(case when channel = 'email' then engaged_at end) as email_engaged_at,
        max(case when channel = 'sms' then engaged_at end) as sms_engaged_at,
        max(case when channel = 'push' then engaged_at end) as push_engaged_at,
        max(case when channel = 'web' then engaged_at end) as web_seen_at
    from reactions
    group by profile_id
)

select * from final
