{#- Connected components by label propagation, unrolled, so that it is plain SQL on every engine: a
label is a record's rank by age, and in each round a record takes the smallest label of the records
that it shares a match key with. Records that share nothing are left out of the rounds.
A recursive query would stop by itself but is not there on every engine; the rounds cannot be too
few unnoticed: the test identity_has_converged fails then. -#}
with

source_records as (
    select * from {{ ref('int_identity__source_records') }}
),

record_matches as (
    select * from {{ ref('int_identity__record_matches') }}
),

overshared_identifiers as (
    select * from {{ ref('overshared_identifiers') }}
),

-- A guest's only identifier is the address; when that is nobody's, so are the orders.
ranked as (
    select
        source_records.record_id,
        source_records.source,
        source_records.source_id,
        row_number() over (
            order by source_records.created_at asc nulls last, source_records.record_id asc
        ) as record_rank
    from source_records
    left join overshared_identifiers
        on
            source_records.source = 'order'
            and overshared_identifiers.namespace = 'email'
            and source_records.email_identifier = overshared_identifiers.identifier
    where overshared_identifiers.identifier is null
),

-- Keys become numbers, which compare faster than text: a key is its oldest record's rank. Two keys with
-- the same oldest record become one; they join the same records anyway.
keyed as (
    select
        ranked.record_rank,
        min(ranked.record_rank) over (partition by record_matches.match_key) as key_rank,
        count(*) over (partition by record_matches.match_key) as records_count
    from record_matches
    inner join ranked
        on record_matches.record_id = ranked.record_id
),

round_0 as (
    select
        record_rank,
        key_rank,
        record_rank as label
    from keyed
    where records_count > 1
),
{% for number in range(1, var('identity_rounds') + 1) %}
round_{{ number }} as (
    select
        record_rank,
        key_rank,
        min(key_label) over (partition by record_rank) as label
    from (
        select
            record_rank,
            key_rank,
            min(label) over (partition by key_rank) as key_label
        from round_{{ number - 1 }}
    ) as keyed_{{ number }}
),
{% endfor %}
labelled as (
    select
        record_rank,
        min(label) as label
    from round_{{ var('identity_rounds') }}
    group by record_rank
),

final as (
    select
        ranked.record_id,
        ranked.source,
        ranked.source_id,
        md5(oldest.record_id) as profile_id
    from ranked
    left join labelled
        on ranked.record_rank = labelled.record_rank
    inner join ranked as oldest
        on coalesce(labelled.label, ranked.record_rank) = oldest.record_rank
)

select * from final
