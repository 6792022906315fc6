{#- A function of the history alone, without a memory of its own: where the founding record of a profile is
now, there is the person, however many merges lie between. -#}
with

ended as (
    select
        profile_id,
        max(valid_to) as redirected_at
    from {{ ref('int_identity__record_history') }}
    where
        valid_to is not null
        and profile_id is not null
    group by profile_id
),

held as (
    select distinct record_history.profile_id
    from {{ ref('int_identity__record_history') }} as record_history
    inner join ended
        on record_history.profile_id = ended.profile_id
    where record_history.valid_to is null
),

gone as (
    select
        ended.profile_id,
        ended.redirected_at
    from ended
    left join held
        on ended.profile_id = held.profile_id
    where held.profile_id is null
),

-- The founding record first; where that is gone, of those who left last the oldest that is still here.
followed as (
    select
        gone.profile_id,
        gone.redirected_at,
        now_with.profile_id as current_profile_id,
        row_number() over (
            partition by gone.profile_id
            order by
                case when earlier.is_founder then 0 else 1 end asc,
                earlier.valid_to desc,
                earlier.created_at asc nulls last,
                earlier.record_id asc
        ) as choice
    from gone
    inner join {{ ref('int_identity__record_history') }} as earlier
        on gone.profile_id = earlier.profile_id
    inner join {{ ref('int_identity__record_history') }} as now_with
        on
            earlier.record_id = now_with.record_id
            and now_with.valid_to is null
            and now_with.profile_id is not null
),

final as (
    select
        cast(profile_id as string) as profile_id,
        cast(current_profile_id as string) as current_profile_id,
        cast(redirected_at as timestamp) as redirected_at
    from followed
    where choice = 1
)

select * from final
