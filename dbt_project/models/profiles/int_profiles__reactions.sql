-- Apart from the visits: all joins of one query hold a side of theirs in memory at the same time.
with

engagements as (
    select * from {{ ref('stg_shop__engagements') }}
),

feedback as (
    select * from {{ ref('stg_operations__feedback') }}
),

owners as (
    select * from {{ ref('int_profiles__owners') }}
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

final as (
    select
        owners.profile_id,
        named_messages.channel,
        named_messages.opens_count,
        named_messages.clicks_count,
        named_messages.engaged_at
    from named_messages
    inner join owners
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
)

select * from final
