with

reactions as (
    select * from {{ ref('int_profiles__reactions') }}
),

owners as (
    select * from {{ ref('int_profiles__owners') }}
),

engagements as (
    select
        profile_id,
        channel,
        opens_count,
        clicks_count,
        engaged_at
    from reactions
    union all
    select
        profile_id,
        'web' as channel,
        0 as opens_count,
        0 as clicks_count,
        seen_at as engaged_at
    from {{ ref('int_profiles__visits') }}
    where profile_id is not null
    union all
    -- A device that several people use tells nothing about one of them unless an account was signed in.
    select
        owners.profile_id,
        'web' as channel,
        0 as opens_count,
        0 as clicks_count,
        visits.seen_at as engaged_at
    from {{ ref('int_profiles__visits') }} as visits
    inner join owners
        on
            owners.namespace = 'device_id'
            and visits.device_id = owners.identifier
    where visits.profile_id is null
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
    from engagements
    group by profile_id
)

select * from final
