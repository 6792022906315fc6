{#- What joins records: each key that two or more of the affected records hold, by record. A key is named
by its oldest record's rank; numbers compare faster than text. -#}
with

affected_records as (
    select * from {{ ref('int_identity__affected_records') }}
),

identifiers as (
    {{- identifiers_of('affected_records', ['record_rank', 'set_aside']) }}
),

keyed as (
    select
        record_rank,
        match_key,
        case namespace
            {%- for name in identity_namespaces() %}
            when '{{ name }}' then {{ namespace_priority(name) }}
            {%- endfor %}
        end as priority
    from identifiers
    where
        match_key is not null
        and not {{ is_set_aside('set_aside', 'namespace') }}
    {%- if var('identity_links').enabled %}
    union all
    select
        affected_records.record_rank,
        record_links.match_key,
        {{ identity_namespaces() | length + 1 }} as priority
    from {{ ref('int_identity__record_links') }} as record_links
    inner join affected_records
        on record_links.record_id = affected_records.record_id
    where not affected_records.is_nobody
    {%- endif %}
),

counted as (
    select
        record_rank,
        match_key,
        priority,
        min(record_rank) over (partition by match_key) as key_rank,
        count(*) over (partition by match_key) as records_count
    from keyed
),

final as (
    select
        record_rank,
        key_rank,
        match_key,
        priority
    from counted
    where records_count > 1
)

select * from final
