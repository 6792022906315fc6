with

source_records as (
    select * from {{ ref('int_identity__source_records') }}
),

record_profiles as (
    select * from {{ ref('int_identity__record_profiles') }}
),

time_zones as (
    select * from {{ ref('time_zones') }}
),

-- A zone that is none (CET+1, home) says nothing, so that another record may. A region is somewhere only
-- together with its country. A change that is dated in the future does not make a record the latest for
-- years: it counts as one without a date.
places as (
    select
        source_records.*,
        time_zones.time_zone as known_time_zone,
        case
            when source_records.region like '__-%' then source_records.region
            else source_records.country || '-' || source_records.region
        end as full_region,
        {{ source_trust('source_records.source') }} as trust,
        case when source_records.updated_at <= {{ as_of() }} then source_records.updated_at end as changed_at
    from source_records
    left join time_zones
        on lower(replace(source_records.time_zone, ' ', '_')) = lower(time_zones.time_zone)
),

final as (
    select
        record_profiles.profile_id,
        places.record_id,
        places.source,
        places.source_id,
        places.email,
        places.email_identifier,
        places.phone,
        places.phone_identifier,
        places.push_token,
        places.first_name,
        places.last_name,
        places.language,
        places.country,
        places.full_region as region,
        places.known_time_zone as time_zone,
        places.street,
        places.postal_code,
        places.city,
        places.is_phone_country_unknown,
        places.created_at,
        places.updated_at,
        {{ survivorship_ranks('places', 'record_profiles.profile_id') }}
    from places
    inner join record_profiles
        on places.record_id = record_profiles.record_id
)

select * from final
