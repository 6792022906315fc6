-- What people did with messages by the hour that their own clock showed: opens and clicks of the last 180 days. A
-- click counts as three opens: machines open, and hardly click. Without a time zone there is no such hour.
with

engagements as (
    select
        namespace,
        identifier,
        occurred_at,
        case lower({{ trimmed('event_type') }}) when 'click' then 3 else 1 end as weight
    from {{ ref('stg_shop__engagements') }}
    where
        lower({{ trimmed('event_type') }}) in ('open', 'click')
        and occurred_at <= {{ as_of() }}
        and occurred_at > {{ as_of() }} - interval '180' day
),

named as (
    {{ with_named_identifier('engagements') }}
),

people as (
    select
        profile_id,
        time_zone
    from {{ ref('profiles') }}
    where time_zone is not null
),

final as (
    select
        people.profile_id,
        people.time_zone,
        {{ local_hour('named.occurred_at', 'people.time_zone') }} as local_hour,
        sum(named.weight) as weight
    from named
    inner join {{ ref('int_profiles__owners') }} as owners
        on
            named.named_namespace = owners.namespace
            and named.named_identifier = owners.identifier
    inner join people on owners.profile_id = people.profile_id
    group by
        people.profile_id,
        people.time_zone,
        {{ local_hour('named.occurred_at', 'people.time_zone') }}
)

select * from final
