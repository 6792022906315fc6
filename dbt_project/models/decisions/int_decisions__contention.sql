-- Where messages compete: for every cap and group of people (a person, or a household) in which not everything
-- may be sent, the lines in the order in which they are considered, and whether each is accepted or refused.
--
-- A cap counts in slots. A line asks in the slot of its own send_at: for a rolling cap less than the window
-- before it to less than the window after it, since later messages may be reserved already; for a calendar
-- cap the period that it falls into. In a slot stand all lines that the cap counts and whose send_at is in it,
-- of whatever run. A line is accepted when, in each slot that it asks in, the earlier messages and the accepted
-- lines before it are fewer than the cap's max. Lines that an earlier rule stopped or that are held out ask
-- too, but nobody counts them (is_competing is false).
--
-- The order: lines that no cap may stop (they are sent anyway, so the others have what they leave), then by
-- priority, logical date, run, person, entity, channel.
--
-- Rounds (macros/pressure.sql) instead of one line after the other: two of them here settle nearly all, the
-- rest is settled by the post-hook. A recursive query was rejected: Spark allows no aggregates and no windows
-- in one.
{{
    config(
        materialized='table',
        post_hook=[
            "{{ settle_contention(this) }}",
            "{{ forget_written(this, ['contended_groups', 'contended_lines']) }}",
        ],
    )
}}

{%- set is_scored = open_runs_have('stg_operations__runs', 'priority_score is not null') %}

{#- Whether a cap counts anybody together with others: else a person's messages are of no matter to anybody else. -#}
{%- set is_grouped = open_runs_have('stg_operations__run_caps', "counted_per <> ''") %}

{#- Each line with the caps that count it. Twice in place: as a CTE it would be copied, caps times lines. -#}
{% set counted_lines -%}
    select
        counted_runs.cap_number,
        lines.profile_id as group_key,
        counted_runs.run_place,
        lines.line_key,
        lines.run_key,
        lines.profile_id,
        lines.entity_id,
        lines.channel,
        lines.time_zone,
        lines.send_at,
        lines.is_competing,
        counted_runs.is_under,
        counted_runs.is_free,
        counted_runs.priority
    from lines
    inner join counted_runs
        on
            lines.run_key = counted_runs.run_key
            and lines.channel = counted_runs.channel
    where
        counted_runs.counted_per = ''
        and (lines.is_competing or counted_runs.is_under)
    union all
    select
        counted_runs.cap_number,
        coalesce(shared_groups.group_key, lines.profile_id) as group_key,
        counted_runs.run_place,
        lines.line_key,
        lines.run_key,
        lines.profile_id,
        lines.entity_id,
        lines.channel,
        lines.time_zone,
        lines.send_at,
        lines.is_competing,
        counted_runs.is_under,
        counted_runs.is_free,
        counted_runs.priority
    from lines
    inner join counted_runs
        on
            lines.run_key = counted_runs.run_key
            and lines.channel = counted_runs.channel
    left join shared_groups
        on
            counted_runs.cap_number = shared_groups.cap_number
            and lines.profile_id = shared_groups.profile_id
    where
        counted_runs.counted_per <> ''
        and (lines.is_competing or counted_runs.is_under)
{%- endset %}
{% set counted_earlier -%}
    select
        counted.cap_number,
        earlier_messages.profile_id as group_key,
        earlier_messages.send_at
    from earlier_messages
    inner join counted
        on
            earlier_messages.topic = counted.topic
            and earlier_messages.channel = counted.channel
    inner join cap_reach on counted.cap_number = cap_reach.cap_number
    where
        counted.counted_per = ''
        and earlier_messages.send_at >= cap_reach.first_at
        and earlier_messages.send_at <= cap_reach.last_at
    union all
    select
        counted.cap_number,
        coalesce(shared_groups.group_key, earlier_messages.profile_id) as group_key,
        earlier_messages.send_at
    from earlier_messages
    inner join counted
        on
            earlier_messages.topic = counted.topic
            and earlier_messages.channel = counted.channel
    inner join cap_reach on counted.cap_number = cap_reach.cap_number
    left join shared_groups
        on
            counted.cap_number = shared_groups.cap_number
            and earlier_messages.profile_id = shared_groups.profile_id
    where
        counted.counted_per <> ''
        and earlier_messages.send_at >= cap_reach.first_at
        and earlier_messages.send_at <= cap_reach.last_at
{%- endset %}

{#- Each of the two below is read several times: on Spark they are written. -#}
{% set ctes -%}
runs as (
    select
        run_key,
        topic,
        priority,
        priority_score,
        row_number() over (order by logical_at, run_key) as run_place
    from {{ ref('stg_operations__runs') }}
),

run_caps as (
    select * from {{ ref('stg_operations__run_caps') }}
),

cap_channels as (
    select distinct
        cap,
        channel
    from {{ ref('stg_operations__run_cap_channels') }}
),

cap_topics as (
    select distinct
        cap,
        topic
    from {{ ref('stg_operations__run_cap_topics') }}
),

cap_periods as (
    select distinct
        cap,
        time_zone,
        starts_at,
        ends_at
    from {{ ref('stg_operations__run_cap_periods') }}
),

exempt_topics as (
    select topic from {{ ref('stg_operations__exempt_topics') }}
),

lines as (
    select
        line_key,
        run_key,
        profile_id,
        entity_id,
        channel,
        coalesce(time_zone, '') as time_zone,
        send_at,
        is_possible
        and not is_another_entity_chosen
        and not is_duplicate_address
        and not is_another_channel_chosen
        and not is_globally_held_out
        and not is_held_out as is_competing
    from {{ ref('int_decisions__choice') }}
),

-- Of the people who are asked about, where nobody is counted with others; by number, so somebody else's may be there.
earlier_messages as (
    select
        profile_id,
        channel,
        topic,
        send_at
    from {{ ref('int_decisions__earlier_messages') }} -- noqa: LT02
    {% if not is_grouped %}
    where {{ row_hash(['profile_id']) }} in (
        select {{ row_hash(['lines.profile_id']) }} from lines
    )
    {% endif %}
),

scores as (
    select * from {{ ref('int_decisions__scores') }}
),

profiles as (
    select * from {{ ref('profiles') }}
),

-- A cap is one thing in all runs: they are exported together, with the policies of one moment. Caps and runs go
-- by number where there are many rows: numbers are sorted and compared faster than names.
caps as (
    select
        cap,
        max_messages,
        window_seconds,
        is_recipient_time,
        counted_per,
        row_number() over (order by cap) as cap_number
    from (
        select distinct
            cap,
            max_messages,
            window_seconds,
            is_recipient_time,
            counted_per
        from run_caps
    ) as distinct_caps
),

-- What each cap counts.
topics as (
    select topic from runs
    union distinct
    select topic from {{ ref('stg_operations__earlier_runs') }}
    union distinct
    select topic
    from {{ ref('stg_operations__journey_messages') }}
    where
        is_counted
        and send_at >= {{ earliest_asked() }}
),

counted_topics as (
    select
        cap_topics.cap,
        topics.topic
    from cap_topics
    inner join topics on cap_topics.topic = topics.topic
    union distinct
    select
        cap_topics.cap,
        topics.topic
    from cap_topics
    cross join topics
    left join exempt_topics on topics.topic = exempt_topics.topic
    where
        cap_topics.topic = '*'
        and exempt_topics.topic is null
),

counted as (
    select
        caps.cap,
        caps.cap_number,
        caps.counted_per,
        counted_topics.topic,
        cap_channels.channel
    from caps
    inner join counted_topics on caps.cap = counted_topics.cap
    inner join cap_channels on caps.cap = cap_channels.cap
),

counted_runs as (
    select
        counted.cap_number,
        counted.counted_per,
        counted.channel,
        runs.run_key,
        runs.run_place,
        runs.priority,
        runs.priority_score,
        run_caps.run_key is not null as is_under,
        min(case when run_caps.run_key is not null then 0 else 1 end)
            over (partition by runs.run_key, counted.channel) as is_free
    from counted
    inner join runs on counted.topic = runs.topic
    left join run_caps
        on
            counted.cap = run_caps.cap
            and runs.run_key = run_caps.run_key
),

{% if is_scored -%}
-- The scores of the people whose run goes by one.
scored_people as (
    select distinct
        lines.profile_id,
        runs.run_key
    from lines
    inner join runs on lines.run_key = runs.run_key
    where runs.priority_score is not null
),

priorities as (
    select
        scored_people.profile_id,
        scored_people.run_key,
        {{ line_priority('runs', 'scores') }} as priority
    from scored_people
    inner join runs on scored_people.run_key = runs.run_key
    left join scores on scored_people.profile_id = scores.profile_id
),
{%- endif %}

-- Who is counted together, where that is not each person: the prefix tells a value from a person's id.
shared_groups as (
    select
        caps.cap_number,
        profiles.profile_id,
        '=' || {{ cap_value('caps.counted_per', 'profiles') }} as group_key
    from caps
    cross join profiles
    where caps.counted_per <> ''
),

-- The times that a cap of the open runs can look at. A rolling one is exact but for its open ends. A period has a
-- day more on both sides, so that no zone's matters.
line_times as (
    select
        min(send_at) as first_at,
        max(send_at) as last_at
    from lines
),

period_times as (
    select
        cap,
        min(starts_at) as first_at,
        max(ends_at) as last_at
    from cap_periods
    group by cap
),

cap_reach as (
    select
        caps.cap_number,
        case
            when caps.window_seconds is null then {{ seconds_after('period_times.first_at', -86400) }}
            else {{ seconds_after('line_times.first_at', '-caps.window_seconds') }}
        end as first_at,
        case
            when caps.window_seconds is null then {{ seconds_after('period_times.last_at', 86400) }}
            else {{ seconds_after('line_times.last_at', 'caps.window_seconds') }}
        end as last_at
    from caps
    cross join line_times
    left join period_times on caps.cap = period_times.cap
),

-- Where everything that competes fits beside everything earlier that is in reach, no cap stops anybody: that is
-- nearly everybody, so it is found out first, over numbers. (Groups that have one number by chance are looked at
-- together; what follows tells them apart.)
asked_hashes as (
    select
        cap_number,
        {{ row_hash(['group_key']) }} as group_hash,
        case when is_competing then 1 else 0 end as competing,
        case when is_competing then 0 else 1 end as bystander,
        case when is_under then 1 else 0 end as asking
    from ({{ counted_lines }}) as counted_lines
),

-- Of the people who are asked about only; the others are most of the history.
earlier_hashes as (
    select
        cap_number,
        group_hash
    from (
        select
            cap_number,
            {{ row_hash(['group_key']) }} as group_hash
        from ({{ counted_earlier }}) as counted_earlier
    ) as numbered_earlier
    {% if is_grouped %}
    where group_hash in (select asked_hashes.group_hash from asked_hashes)
    {% endif %}
),

group_counts as (
    select * from asked_hashes
    union all
    select
        cap_number,
        group_hash,
        1 as competing,
        0 as bystander,
        0 as asking
    from earlier_hashes
)
{%- endset %}
{% set contended_groups -%}
    select
        group_counts.cap_number,
        group_counts.group_hash,
        max(caps.max_messages) as max_messages,
        max(caps.window_seconds) as window_seconds
    from group_counts
    inner join caps on group_counts.cap_number = caps.cap_number
    group by
        group_counts.cap_number,
        group_counts.group_hash
    having
        sum(group_counts.competing) + max(group_counts.bystander) > max(caps.max_messages)
        and max(group_counts.asking) = 1
{%- endset %}
{% set contended_lines -%}
    select
        counted_lines.*,
        contended_groups.max_messages,
        contended_groups.window_seconds
    from ({{ counted_lines }}) as counted_lines
    inner join contended_groups
        on
            counted_lines.cap_number = contended_groups.cap_number
            and {{ row_hash(['counted_lines.group_key']) }} = contended_groups.group_hash
{%- endset %}
{%- set ctes = written_once(ctes, 'contended_groups', contended_groups) %}
{%- set ctes = written_once(ctes, 'contended_lines', contended_lines) %}

with

{{ ctes }},

asked_earlier as (
    select
        counted_earlier.cap_number,
        counted_earlier.group_key,
        counted_earlier.send_at,
        count(*) as messages_count
    from ({{ counted_earlier }}) as counted_earlier
    inner join contended_groups
        on
            counted_earlier.cap_number = contended_groups.cap_number
            and {{ row_hash(['counted_earlier.group_key']) }} = contended_groups.group_hash
    group by
        counted_earlier.cap_number,
        counted_earlier.group_key,
        counted_earlier.send_at
),

-- The slots by cap, zone and instant, of which there are few.
asked_times as (
    select distinct
        cap_number,
        time_zone,
        send_at
    from contended_lines
    where is_under
),

known_zones as (
    select distinct
        cap,
        time_zone
    from cap_periods
),

zoned_times as (
    select
        caps.cap,
        caps.window_seconds,
        asked_times.cap_number,
        asked_times.time_zone,
        asked_times.send_at,
        coalesce(known_zones.time_zone, case when caps.is_recipient_time then '' end) as period_zone
    from asked_times
    inner join caps on asked_times.cap_number = caps.cap_number
    left join known_zones
        on
            caps.cap = known_zones.cap
            and (
                not caps.is_recipient_time
                or asked_times.time_zone = known_zones.time_zone
            )
),

slot_times as (
    select
        zoned_times.cap_number,
        zoned_times.time_zone,
        zoned_times.send_at,
        case
            when zoned_times.window_seconds is null then cap_periods.starts_at
            else {{ seconds_after('zoned_times.send_at', '-zoned_times.window_seconds') }}
        end as slot_from,
        case
            when zoned_times.window_seconds is null then cap_periods.ends_at
            else {{ seconds_after('zoned_times.send_at', 'zoned_times.window_seconds') }}
        end as slot_to
    from zoned_times
    left join cap_periods
        on
            zoned_times.cap = cap_periods.cap
            and zoned_times.period_zone = cap_periods.time_zone
            and zoned_times.send_at >= cap_periods.starts_at
            and zoned_times.send_at < cap_periods.ends_at
),

placed_lines as (
    select
        contended_lines.*,
        slot_times.slot_from,
        slot_times.slot_to
    from contended_lines
    left join slot_times
        on
            contended_lines.is_under
            and contended_lines.cap_number = slot_times.cap_number
            and contended_lines.time_zone = slot_times.time_zone
            and contended_lines.send_at = slot_times.send_at
),

slots as (
    select distinct
        cap_number,
        group_key,
        max_messages,
        window_seconds,
        slot_from,
        slot_to
    from placed_lines
    where is_under
),

-- A rolling window is open at both ends, a period at its end only.
slot_earlier as (
    select
        slots.cap_number,
        slots.group_key,
        slots.slot_from,
        slots.slot_to,
        sum(asked_earlier.messages_count) as earlier_messages
    from slots
    inner join asked_earlier
        on
            slots.cap_number = asked_earlier.cap_number
            and slots.group_key = asked_earlier.group_key
            and slots.slot_from <= asked_earlier.send_at
            and slots.slot_to > asked_earlier.send_at
    where
        slots.window_seconds is null
        or slots.slot_from < asked_earlier.send_at
    group by
        slots.cap_number,
        slots.group_key,
        slots.slot_from,
        slots.slot_to
),

-- A slot goes by number from here on.
full_slots as (
    select
        {{ any_number() }} as slot_number,
        slots.*,
        coalesce(slot_earlier.earlier_messages, 0) as earlier_messages
    from slots
    left join slot_earlier
        on
            slots.cap_number = slot_earlier.cap_number
            and slots.group_key = slot_earlier.group_key
            and slots.slot_from = slot_earlier.slot_from
            and slots.slot_to = slot_earlier.slot_to
),

entries as (
    select
        slots.slot_number,
        slots.cap_number,
        slots.group_key,
        slots.slot_from,
        slots.slot_to,
        placed_lines.run_place,
        placed_lines.line_key,
        placed_lines.run_key,
        placed_lines.profile_id,
        placed_lines.entity_id,
        placed_lines.channel,
        slots.max_messages,
        slots.earlier_messages,
        placed_lines.is_competing,
        placed_lines.is_free,
        placed_lines.priority,
        placed_lines.is_under
        and slots.slot_from = placed_lines.slot_from
        and slots.slot_to = placed_lines.slot_to as is_asking
    from full_slots as slots
    inner join placed_lines
        on
            slots.cap_number = placed_lines.cap_number
            and slots.group_key = placed_lines.group_key
            and slots.slot_from <= placed_lines.send_at
            and slots.slot_to > placed_lines.send_at
    where
        slots.window_seconds is null
        or slots.slot_from < placed_lines.send_at
),

-- Only what the rounds go by: their windows copy whatever else is in a row.
contention_0 as (
    select
        entries.slot_number,
        entries.cap_number as cap,
        entries.line_key,
        entries.run_place as run_key,
        entries.max_messages,
        entries.earlier_messages,
        entries.is_competing,
        entries.is_asking,
        row_number() over (
            partition by entries.slot_number
            order by
                entries.is_free desc,
                {{ 'coalesce(priorities.priority, entries.priority)' if is_scored else 'entries.priority' }} desc,
                entries.run_place asc,
                entries.profile_id asc,
                entries.entity_id asc,
                entries.channel asc
        ) as place,
        case when entries.is_free = 1 then 'accepted' else 'undecided' end as standing
    from entries
    {% if is_scored %}
    left join priorities
        on
            entries.run_key = priorities.run_key
            and entries.profile_id = priorities.profile_id
    {% endif %}
    where
        entries.is_competing
        or entries.is_asking
),

{{ contention_rounds(2) }},

final as (
    select
        contention_2.slot_number,
        caps.cap,
        contention_2.line_key,
        runs.run_key,
        contention_2.max_messages,
        contention_2.earlier_messages,
        contention_2.place,
        contention_2.is_competing,
        contention_2.is_asking,
        contention_2.standing
    from contention_2
    inner join caps on contention_2.cap = caps.cap_number
    inner join runs on contention_2.run_key = runs.run_place
)

select * from final
