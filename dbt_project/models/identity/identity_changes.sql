{#- Two rows of the history that meet are a record that changed hands. A row of nobody has no profile_id and
equals none. -#}
with

moved as (
    select
        later.valid_from as changed_at,
        earlier.profile_id as from_profile_id,
        later.profile_id as to_profile_id,
        count(*) as records_count
    from {{ ref('int_identity__record_history') }} as earlier
    inner join {{ ref('int_identity__record_history') }} as later
        on
            earlier.record_id = later.record_id
            and earlier.valid_to = later.valid_from
            and earlier.profile_id != later.profile_id
    where earlier.valid_to is not null
    group by later.valid_from, earlier.profile_id, later.profile_id
),

-- By what is left or was there, `in` and not a join: the few are looked up, not everybody.
touched as (
    select
        profile_id,
        valid_from,
        valid_to
    from {{ ref('int_identity__record_history') }}
    where
        profile_id in (
            select moved.from_profile_id from moved
            union distinct
            select moved.to_profile_id from moved
        )
),

-- From whose profile something is left.
left_behind as (
    select distinct
        moved.changed_at,
        moved.from_profile_id
    from moved
    inner join touched
        on moved.from_profile_id = touched.profile_id
    where
        touched.valid_from <= moved.changed_at
        and (touched.valid_to is null or touched.valid_to > moved.changed_at)
),

-- Whose profile was there before.
there_before as (
    select distinct
        moved.changed_at,
        moved.to_profile_id
    from moved
    inner join touched
        on moved.to_profile_id = touched.profile_id
    where
        touched.valid_from < moved.changed_at
        and (touched.valid_to is null or touched.valid_to >= moved.changed_at)
),

final as (
    select
        cast(moved.from_profile_id as string) as from_profile_id,
        cast(moved.to_profile_id as string) as to_profile_id,
        cast(
            case
                when there_before.to_profile_id is null then 'split'
                when left_behind.from_profile_id is null then 'merged'
                else 'moved'
            end as string
        ) as change_kind,
        cast(moved.records_count as bigint) as records_count,
        cast(moved.changed_at as timestamp) as changed_at
    from moved
    left join left_behind
        on
            moved.from_profile_id = left_behind.from_profile_id
            and moved.changed_at = left_behind.changed_at
    left join there_before
        on
            moved.to_profile_id = there_before.to_profile_id
            and moved.changed_at = there_before.changed_at
)

select * from final
