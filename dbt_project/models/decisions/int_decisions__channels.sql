-- One line per person and channel of the campaign, with the address that the person has there.
with

run_channels as (
    select * from {{ ref('stg_operations__run_channels') }}
),

candidates as (
    select * from {{ ref('int_decisions__control') }}
),

profiles as (
    select
        profile_id,
        language,
        time_zone
    from {{ ref('profiles') }}
),

contact_points as (
    select
        profile_id,
        channel,
        address,
        is_valid
    from {{ ref('contact_points') }}
),

final as (
    select
        candidates.run_key,
        candidates.campaign,
        candidates.profile_id,
        candidates.entity_id,
        run_channels.channel,
        contact_points.address,
        -- What an address is compared by; opt-outs and suppressions may be written in another case.
        lower(contact_points.address) as address_key,
        profiles.language,
        profiles.time_zone,
        candidates.variant,
        candidates.excluded_by_segment,
        run_channels.channel_position,
        candidates.holdout_bucket,
        candidates.variant_bucket,
        candidates.is_held_out,
        contact_points.address is not null as has_address,
        coalesce(contact_points.is_valid, false) as is_address_valid
    from candidates
    inner join run_channels on candidates.run_key = run_channels.run_key
    left join profiles on candidates.profile_id = profiles.profile_id
    left join contact_points
        on
            candidates.profile_id = contact_points.profile_id
            and run_channels.channel = contact_points.channel
)

select * from final
