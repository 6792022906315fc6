-- Which orders, bookings or other entities are in which segment of entities now, each with its person.
{%- set names = entity_segments(all_segments()) %}

with

{% if names -%}
members as (
    {%- for name in names %}
    select
        '{{ name }}' as segment,
        cast(profile_id as string) as profile_id,
        cast(entity_id as string) as entity_id
    from {{ ref(name) }}
    {{- ' union all' if not loop.last }}
    {%- endfor %}
),

profiles as (
    select profile_id from {{ ref('profiles') }}
),

final as (
    select distinct
        members.segment,
        members.profile_id,
        members.entity_id
    from members
    inner join profiles on members.profile_id = profiles.profile_id
    where members.entity_id <> ''
)
{%- else -%}
final as (
    select
        cast(null as string) as segment,
        cast(null as string) as profile_id,
        cast(null as string) as entity_id
    where false
)
{%- endif %}

select * from final
