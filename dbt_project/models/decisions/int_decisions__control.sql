-- Who is held out, and which variant everybody has: by salted hash of the person alone, so that it is
-- the same in every run of the campaign and on all channels. Everyone gets both marks, whatever the
-- other rules say; the holdout rule is applied last, in int_decisions__lines.
with

runs as (
    select * from {{ ref('stg_operations__runs') }}
),

run_variants as (
    select * from {{ ref('stg_operations__run_variants') }}
),

candidates as (
    select * from {{ ref('int_decisions__candidates') }}
),

bucketed as (
    select
        candidates.run_key,
        candidates.campaign,
        candidates.profile_id,
        candidates.entity_id,
        candidates.excluded_by_segment,
        {{ bucket('runs.holdout_salt', 'candidates.profile_id') }} as holdout_bucket,
        {{ bucket('runs.variant_salt', 'candidates.profile_id') }} as variant_bucket,
        -- Percent has two decimals here; rounded, since 0.07 * 100 is a little more than 7 in binary.
        cast(round(runs.holdout_percent * 100) as integer) as holdout_buckets
    from candidates
    inner join runs on candidates.run_key = runs.run_key
),

final as (
    select
        bucketed.run_key,
        bucketed.campaign,
        bucketed.profile_id,
        bucketed.entity_id,
        bucketed.excluded_by_segment,
        run_variants.variant,
        bucketed.holdout_bucket,
        bucketed.variant_bucket,
        bucketed.holdout_bucket < bucketed.holdout_buckets as is_held_out
    from bucketed
    left join run_variants
        on
            bucketed.run_key = run_variants.run_key
            and bucketed.variant_bucket >= run_variants.bucket_from
            and bucketed.variant_bucket < run_variants.bucket_to
)

select * from final
