with

source_records as (
    select * from {{ ref('int_identity__source_records') }}
),

record_profiles as (
    select * from {{ ref('int_identity__record_profiles') }}
),

final as (
    select
        record_profiles.profile_id,
        source_records.*,
        row_number() over (
            partition by record_profiles.profile_id
            order by
                source_records.updated_at asc nulls first,
                case source_records.source when 'crm' then 3 when 'shop' then 2 else 1 end asc,
                source_records.record_id desc
        ) as trust_rank
    from source_records
    inner join record_profiles
        on source_records.record_id = record_profiles.record_id
)

select * from final
