-- How large each segment is by this build's evaluation, and whether it is held: out of its bounds, not
-- accepted by an operator, or reading one that is held.
{%- set people = people_segments(all_segments()) %}
{%- set places = mark_places(people) %}

with

segments as (
    select * from {{ ref('int_segments__list') }}
),

reads as (
    select * from {{ ref('int_segments__reads') }}
),

marks as (
    select * from {{ ref('int_segments__marks') }}
),

entities as (
    select * from {{ ref('int_segments__entities') }}
),

{% if people -%}
marked as (
    select
        {{ for_segments(places, 'count(case when {marks} then 1 end) as in_{name}') }}
    from marks
),
{%- endif %}

counted as (
    {% if people -%}
    select
        substr(in_segment, 4) as segment,
        evaluated_count
    from marked
    unpivot (evaluated_count for in_segment in ({{ segment_columns(people) }}))
    union all
    {% endif -%}
    select
        segment,
        count(*) as evaluated_count
    from entities
    group by segment
),

recorded_members as (
    select
        segment,
        count(case when exited_at is null then 1 end) as members_count
    from {{ recorded_memberships() }} as memberships
    group by segment
),

-- A segment that was held at each build so far has not been in use yet.
used_before as (
    select segment
    from {{ recorded_sizes() }} as sizes
    where not is_held
    union distinct
    select segment
    from recorded_members
),

measured as (
    select
        segments.*,
        coalesce(counted.evaluated_count, 0) as evaluated_count,
        coalesce(recorded_members.members_count, 0) as recorded_count,
        used_before.segment is null as is_first
    from segments
    left join counted on segments.segment = counted.segment
    left join recorded_members on segments.segment = recorded_members.segment
    left join used_before on segments.segment = used_before.segment
),

judged as (
    select
        *,
        case
            when evaluated_count < min_size then 'below_min'
            when evaluated_count > max_size then 'above_max'
            when
                not is_first
                and abs(evaluated_count - recorded_count) > free_change
                and abs(evaluated_count - recorded_count) * 100.0 > max_change_percent * recorded_count
                then 'changed_too_much'
        end as finding
    from measured
),

held_readers as (
    select distinct reads.segment
    from reads
    inner join judged on reads.read_segment = judged.segment
    where
        judged.finding is not null
        and not judged.is_accepted
),

final as (
    select
        judged.segment,
        judged.entity,
        case
            when judged.finding is not null and not judged.is_accepted then judged.finding
            when held_readers.segment is not null then 'reads_a_held_segment'
        end as held_reason,
        judged.evaluated_count,
        judged.recorded_count,
        judged.is_first,
        (judged.finding is not null and not judged.is_accepted) or held_readers.segment is not null as is_held,
        judged.finding is not null and judged.is_accepted as is_accepted
    from judged
    left join held_readers on judged.segment = held_readers.segment
)

select * from final
