with

record_profiles as (
    select *
    from {{ ref('int_identity__record_profiles') }}
    where cut_by is not null
),

source_records as (
    select * from {{ ref('int_identity__source_records') }}
),

cut_records as (
    select
        source_records.*,
        record_profiles.profile_id,
        record_profiles.set_aside,
        record_profiles.cut_by
    from record_profiles
    inner join source_records
        on record_profiles.record_id = source_records.record_id
),

identifiers as (
    {{- identifiers_of('cut_records', ['record_id', 'profile_id', 'set_aside', 'cut_by']) }}
),

held as (
    select
        namespace,
        identifier,
        match_key,
        record_id,
        profile_id,
        cut_by
    from identifiers
    where
        match_key is not null
        and not {{ is_set_aside('set_aside', 'namespace') }}
    {%- if var('identity_links').enabled %}
    union all
    select
        'link' as namespace,
        record_links.link_id as identifier,
        record_links.match_key,
        record_profiles.record_id,
        record_profiles.profile_id,
        record_profiles.cut_by
    from record_profiles
    inner join {{ ref('int_identity__record_links') }} as record_links
        on record_profiles.record_id = record_links.record_id
    {%- endif %}
),

refused as (
    select match_key
    from held
    group by match_key
    having min(profile_id) != max(profile_id)
),

final as (
    select
        cast(held.namespace as string) as namespace,
        cast(held.identifier as string) as identifier,
        cast(min(held.cut_by) as string) as limited_by,
        cast(count(distinct held.profile_id) as bigint) as profiles_count,
        cast(count(distinct held.record_id) as bigint) as records_count
    from held
    inner join refused
        on held.match_key = refused.match_key
    group by held.namespace, held.identifier
)

select * from final
