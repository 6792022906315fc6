-- One line per person and channel of the campaign, with the address that the person has there.
-- depends_on: {{ ref('int_decisions__candidates') }}
{%- set is_about_few = open_runs_are_about_few() %}

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
        country,
        time_zone,
        email_engaged_at,
        sms_engaged_at,
        push_engaged_at
    from {{ ref('profiles') }}
    {%- if is_about_few %}
    where profile_id in (select candidates.profile_id from {{ ref('int_decisions__candidates') }} as candidates)
    {%- endif %}
),

contact_points as (
    select
        profile_id,
        channel,
        address,
        is_valid
    from {{ ref('contact_points') }}
    {%- if is_about_few %}
    where profile_id in (select candidates.profile_id from {{ ref('int_decisions__candidates') }} as candidates)
    {%- endif %}
),

final as (
    select
        candidates.run_key,
        candidates.campaign,
        candidates.profile_id,
        candidates.entity_id,
        run_channels.channel,
        {{ address_on('run_channels.channel') }} as address,
        -- What an address is compared by; opt-outs and suppressions may be written in another case.
        lower({{ address_on('run_channels.channel') }}) as address_key,
        profiles.language,
        profiles.country,
        profiles.time_zone,
        candidates.variant,
        candidates.drawn_wave,
        candidates.excluded_by_segment,
        candidates.already_sent_at,
        candidates.sample_bucket,
        candidates.is_not_in_sample,
        run_channels.channel_position,
        candidates.global_holdout_bucket,
        candidates.holdout_bucket,
        candidates.variant_bucket,
        candidates.is_globally_held_out,
        candidates.is_held_out,
        candidates.entered_at,
        -- When the person last opened or clicked on the channel; null when never.
        case run_channels.channel
            when 'email' then profiles.email_engaged_at
            when 'sms' then profiles.sms_engaged_at
            when 'push' then profiles.push_engaged_at
        end as engaged_at,
        {{ address_on('run_channels.channel') }} is not null as has_address,
        run_channels.channel = 'webhook' or coalesce(contact_points.is_valid, false) as is_address_valid
    from candidates
    inner join run_channels on candidates.run_key = run_channels.run_key
    left join profiles on candidates.profile_id = profiles.profile_id
    left join contact_points
        on
            candidates.profile_id = contact_points.profile_id
            and run_channels.channel = contact_points.channel
)

select * from final
