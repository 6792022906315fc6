-- Who got the campaign already, who is in its sample, who is held out, and which variant, and wave by shares,
-- everybody has. Sample, holdouts and variants go by salted hashes of the person alone, so that they are the same in
-- every run of the campaign (the global holdout: in every run of the period) and on all channels; waves by one that
-- differs from run to run. Everyone gets all marks, whatever the other rules say;
-- the holdouts are applied last, in int_decisions__verdicts.
with

runs as (
    select * from {{ ref('stg_operations__runs') }}
),

run_waves as (
    select * from {{ ref('stg_operations__run_waves') }}
),

run_variants as (
    select * from {{ ref('stg_operations__run_variants') }}
),

candidates as (
    select * from {{ ref('int_decisions__candidates') }}
),

asking_runs as (
    select
        run_key,
        campaign,
        one_per,
        not_again_since
    from runs
    where not_again_since is not null
),

earlier_messages as (
    select
        campaign,
        profile_id,
        entity_id,
        send_at
    from {{ ref('int_decisions__earlier_messages') }}
    where campaign in (select asking_runs.campaign from asking_runs)
),

-- On any channel. A line about an entity looks at messages about that entity, unless the campaign sends one
-- per person: then it is the person who got it, whatever it was about.
sent_before as (
    select
        candidates.run_key,
        candidates.profile_id,
        candidates.entity_id,
        max(earlier_messages.send_at) as already_sent_at
    from candidates
    inner join asking_runs on candidates.run_key = asking_runs.run_key
    inner join earlier_messages
        on
            candidates.campaign = earlier_messages.campaign
            and candidates.profile_id = earlier_messages.profile_id
    where
        earlier_messages.send_at >= asking_runs.not_again_since
        and (
            asking_runs.one_per = 'person'
            or candidates.entity_id = ''
            or candidates.entity_id = earlier_messages.entity_id
        )
    group by
        candidates.run_key,
        candidates.profile_id,
        candidates.entity_id
),

bucketed as (
    select
        candidates.run_key,
        candidates.campaign,
        candidates.profile_id,
        candidates.entity_id,
        candidates.excluded_by_segment,
        candidates.entered_at,
        sent_before.already_sent_at,
        case
            when runs.sample_percent < 100 then {{ bucket('runs.sample_salt', 'candidates.profile_id') }}
        end as sample_bucket,
        {{ bucket('runs.holdout_salt', 'candidates.profile_id') }} as holdout_bucket,
        {{ bucket('runs.global_holdout_salt', 'candidates.profile_id') }} as global_holdout_bucket,
        {{ bucket('runs.variant_salt', 'candidates.profile_id') }} as variant_bucket,
        {{ bucket('runs.wave_salt', 'candidates.profile_id') }} as wave_bucket,
        -- Percent has two decimals here; rounded, since 0.07 * 100 is a little more than 7 in binary.
        cast(round(runs.sample_percent * 100) as integer) as sample_buckets,
        cast(round(runs.holdout_percent * 100) as integer) as holdout_buckets,
        cast(round(runs.global_holdout_percent * 100) as integer) as global_holdout_buckets
    from candidates
    inner join runs on candidates.run_key = runs.run_key
    left join sent_before
        on
            candidates.run_key = sent_before.run_key
            and candidates.profile_id = sent_before.profile_id
            and candidates.entity_id = sent_before.entity_id
),

final as (
    select
        bucketed.run_key,
        bucketed.campaign,
        bucketed.profile_id,
        bucketed.entity_id,
        bucketed.excluded_by_segment,
        bucketed.entered_at,
        bucketed.already_sent_at,
        bucketed.sample_bucket,
        run_variants.variant,
        run_waves.wave as drawn_wave,
        bucketed.global_holdout_bucket,
        bucketed.holdout_bucket,
        bucketed.variant_bucket,
        bucketed.global_holdout_bucket < bucketed.global_holdout_buckets as is_globally_held_out,
        bucketed.holdout_bucket < bucketed.holdout_buckets as is_held_out,
        coalesce(bucketed.sample_bucket >= bucketed.sample_buckets, false) as is_not_in_sample
    from bucketed
    left join run_variants
        on
            bucketed.run_key = run_variants.run_key
            and bucketed.variant_bucket >= run_variants.bucket_from
            and bucketed.variant_bucket < run_variants.bucket_to
    left join run_waves
        on
            bucketed.run_key = run_waves.run_key
            and bucketed.wave_bucket >= run_waves.bucket_from
            and bucketed.wave_bucket < run_waves.bucket_to
)

select * from final
