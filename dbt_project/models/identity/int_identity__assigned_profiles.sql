{#- The profile_id of each affected cluster.

A profile_id is claimed by one cluster: an id in use by the one with its founding record, if that record is
still this person's, else by the one with the oldest record that had it. Of several that claim a cluster the
one issued first stays, then the one with the older founding record, then the smaller; the others will
redirect to it. A cluster that no id in use claims gets back the one that a record of it founded, when
nobody holds that (a merge that is taken back); else a new one: md5 of its oldest record, or, where that was
ever somebody else's, of the record and this build's instant. -#}
with

affected_records as (
    select * from {{ ref('int_identity__affected_records') }}
),

clusters as (
    select * from {{ ref('int_identity__clusters') }}
),

members as (
    select
        clusters.record_id,
        clusters.record_rank,
        clusters.cluster_rank,
        affected_records.previous_profile_id
    from clusters
    inner join affected_records
        on clusters.record_rank = affected_records.record_rank
    where not affected_records.is_nobody
),

oldest as (
    select
        cluster_rank,
        min(record_rank) as oldest_rank
    from members
    group by cluster_rank
),

named as (
    select
        oldest.cluster_rank,
        members.record_id as oldest_record_id,
        md5(members.record_id) as own_id
    from oldest
    inner join members
        on oldest.oldest_rank = members.record_rank
),

{% if is_first_resolution() -%}
final as (
    select
        cluster_rank,
        own_id as profile_id,
        oldest_record_id as founding_record_id
    from named
)
{%- else -%}
ids_in_use as (
    select distinct previous_profile_id as profile_id
    from affected_records
    where previous_profile_id is not null
),

ids_founded as (
    select distinct history.profile_id
    from {{ earlier_history() }} as history
    inner join members
        on history.record_id = members.record_id
    where
        history.is_founder
        and history.profile_id is not null
),

ids as (
    select
        profile_id,
        max(is_in_use) as is_in_use
    from (
        select
            profile_id,
            1 as is_in_use
        from ids_in_use
        union all
        select
            profile_id,
            0 as is_in_use
        from ids_founded
    ) as either
    group by profile_id
),

-- An id that one of these records founded may be held by people who are not affected.
described as (
    select
        ids.profile_id,
        ids.is_in_use,
        min(history.valid_from) as issued_at,
        min(case when history.is_founder then history.created_at end) as founded_at,
        max(case when history.is_founder then history.record_id end) as founding_record_id,
        max(case when history.valid_to is null then 1 else 0 end) as is_held
    from ids
    inner join {{ earlier_history() }} as history
        on ids.profile_id = history.profile_id
    group by ids.profile_id, ids.is_in_use
),

oldest_holders as (
    select
        previous_profile_id as profile_id,
        min(record_rank) as record_rank
    from members
    where previous_profile_id is not null
    group by previous_profile_id
),

claims as (
    select
        coalesce(founders.cluster_rank, heirs.cluster_rank) as cluster_rank,
        described.profile_id,
        described.founding_record_id,
        described.is_in_use,
        described.issued_at,
        described.founded_at
    from described
    left join members as founders
        on
            described.founding_record_id = founders.record_id
            and (
                described.is_in_use = 0
                or described.profile_id = founders.previous_profile_id
            )
    left join oldest_holders
        on described.profile_id = oldest_holders.profile_id
    left join members as heirs
        on oldest_holders.record_rank = heirs.record_rank
    where
        described.is_in_use = 1
        or described.is_held = 0
),

ordered as (
    select
        *,
        row_number() over (
            partition by cluster_rank
            order by is_in_use desc, issued_at asc, founded_at asc nulls last, profile_id asc
        ) as choice
    from claims
    where cluster_rank is not null
),

ids_taken as (
    select distinct named.own_id
    from named
    inner join {{ earlier_history() }} as history
        on named.own_id = history.profile_id
),

final as (
    select
        named.cluster_rank,
        case
            when ordered.profile_id is not null then ordered.profile_id
            when ids_taken.own_id is null then named.own_id
            else md5(named.oldest_record_id || '|' || {{ as_of_text() }})
        end as profile_id,
        coalesce(ordered.founding_record_id, named.oldest_record_id) as founding_record_id
    from named
    left join ordered
        on
            named.cluster_rank = ordered.cluster_rank
            and ordered.choice = 1
    left join ids_taken
        on named.own_id = ids_taken.own_id
)
{%- endif %}

select * from final
