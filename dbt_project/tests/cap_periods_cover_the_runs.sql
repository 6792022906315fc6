-- Calendar caps whose periods leave out a moment at which a run may send: a message then would be under no cap.
with

calendar_caps as (
    select
        run_caps.run_key,
        run_caps.cap,
        runs.decided_at,
        runs.valid_until,
        case when run_caps.is_recipient_time then '' end as time_zone
    from {{ ref('stg_operations__run_caps') }} as run_caps
    inner join {{ ref('stg_operations__runs') }} as runs on run_caps.run_key = runs.run_key
    where run_caps.window_seconds is null
)

select
    calendar_caps.run_key,
    calendar_caps.cap
from calendar_caps
left join {{ ref('stg_operations__run_cap_periods') }} as periods
    on
        calendar_caps.run_key = periods.run_key
        and calendar_caps.cap = periods.cap
        and coalesce(calendar_caps.time_zone, periods.time_zone) = periods.time_zone
group by
    calendar_caps.run_key,
    calendar_caps.cap,
    calendar_caps.decided_at,
    calendar_caps.valid_until
having
    coalesce(min(periods.starts_at) <= calendar_caps.decided_at, false) = false
    or coalesce(max(periods.ends_at) > calendar_caps.valid_until, false) = false
