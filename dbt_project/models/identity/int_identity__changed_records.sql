{#- The one place that looks at every record of every source in each build: by a hash, in one join. All
that follows is done for the records that are here. -#}
with

raw_records as (
    select * from {{ ref('int_identity__raw_records') }}
),

known_records as (
    select
        record_id as known_record_id,
        row_hash as known_row_hash
    from {{ earlier_records() }}
    where not is_removed
),

final as (
    select
        coalesce(raw_records.record_id, known_records.known_record_id) as record_id,
        raw_records.source,
        raw_records.source_id,
        raw_records.email,
        raw_records.phone,
        raw_records.first_name,
        raw_records.last_name,
        raw_records.language,
        raw_records.country,
        raw_records.time_zone,
        raw_records.device_id,
        raw_records.push_token,
        raw_records.street,
        raw_records.postal_code,
        raw_records.city,
        raw_records.region,
        raw_records.row_hash,
        raw_records.record_id is null as is_removed,
        raw_records.created_at,
        raw_records.updated_at
    from raw_records
    full outer join known_records
        on raw_records.record_id = known_records.known_record_id
    where
        raw_records.record_id is null
        or known_records.known_record_id is null
        or raw_records.row_hash != known_records.known_row_hash
)

select * from final
