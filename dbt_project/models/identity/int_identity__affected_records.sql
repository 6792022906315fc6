{#- The records of every component that a change touches: those that are resolved anew. A component is
touched when one of its records changed, when a changed record holds an identifier of it now, or when
an identifier of it has become over-shared or is no longer. Nothing outside shares a key with anything
in here, so that the result is that of a build from scratch. -#}
{%- set limited = namespaces_with('max_records').keys() | list -%}
{%- set day = days_between("timestamp '0001-01-01'", "coalesce(created_at, timestamp '9999-12-31')") -%}
with

changed_identities as (
    select * from {{ ref('int_identity__changed_identities') }}
),

overshared as (
    select distinct
        namespace,
        identifier
    from {{ ref('int_identity__touched_holders') }}
    where is_overshared
),

{% if is_first_resolution() -%}
affected as (
    select
        record_id,
        identity_hash,
        cast(null as string) as previous_profile_id,
        cast(null as timestamp) as previous_valid_from
    from changed_identities
),
{%- else -%}
touched_components as (
    select component_id
    from changed_identities
    where component_id is not null
    union distinct
    select resolved.component_id
    from {{ ref('int_identity__touched_holders') }} as touched_holders
    inner join {{ earlier_history() }} as resolved
        on
            touched_holders.record_id = resolved.record_id
            and resolved.valid_to is null
    where
        not touched_holders.is_overshared
        or not {{ is_set_aside('resolved.set_aside', 'touched_holders.namespace') }}
),

affected as (
    select
        resolved.record_id,
        coalesce(changed_identities.identity_hash, resolved.identity_hash) as identity_hash,
        resolved.profile_id as previous_profile_id,
        resolved.valid_from as previous_valid_from
    from {{ earlier_history() }} as resolved
    inner join touched_components
        on resolved.component_id = touched_components.component_id
    left join changed_identities
        on resolved.record_id = changed_identities.record_id
    where resolved.valid_to is null
    union all
    select
        record_id,
        identity_hash,
        cast(null as string) as previous_profile_id,
        cast(null as timestamp) as previous_valid_from
    from changed_identities
    where is_new
),
{%- endif %}

{% for name in limited -%}
overshared_{{ name }} as (
    select identifier
    from overshared
    where namespace = '{{ name }}'
),

{% endfor -%}
judged as (
    select
        affected.record_id,
        source_records.source,
        source_records.source_id,
        source_records.email_identifier,
        source_records.phone_identifier,
        source_records.device_id,
        source_records.first_name,
        source_records.last_name,
        affected.previous_profile_id,
        concat_ws(
            '',
            ''
            {%- for name in limited %},
            case when overshared_{{ name }}.identifier is not null then '|{{ name }}|' end
            {%- endfor %}
        ) as set_aside,
        affected.identity_hash,
        source_records.record_id is null as is_removed,
        source_records.created_at,
        affected.previous_valid_from
    from affected
    left join {{ ref('int_identity__source_records') }} as source_records
        on affected.record_id = source_records.record_id
    {%- for name in limited %}
    left join overshared_{{ name }}
        on {{ identifier_columns()[name] }} = overshared_{{ name }}.identifier
    {%- endfor %}
),

final as (
    select
        judged.*,
        -- The only identifier of a guest is the address; when that is nobody's, so are the orders.
        not judged.is_removed
        {%- for name, column in identifier_columns().items() %}
        and ({{ column }} is null or {{ is_set_aside('set_aside', "'" ~ name ~ "'") }})
        {%- endfor %} as is_nobody,
        -- By day, since one window over everybody is sorted in memory as a whole; the ranks of a day begin where no
        -- earlier one's can be (a billion records of one day). Over whole rows: joined to them afterwards the ranks
        -- of 60 million do not fit beside them.
        {{ day }} * 1000000000
        + row_number() over (
            partition by {{ day }}
            order by {{ by_age() }}
        ) as record_rank
    from judged
)

select * from final
