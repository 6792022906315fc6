with

traits as (
    select * from {{ ref('stg_operations__journey_traits') }}
),

redirects as (
    select * from {{ ref('profile_redirects') }}
),

profile_records as (
    select profile_id from {{ ref('int_profiles__records') }}
),

-- A trait stays under the id that its person went by when it was set, until something happens to them in a journey.
owned as (
    select
        coalesce(redirects.current_profile_id, traits.profile_id) as profile_id,
        traits.profile_id as set_for,
        traits.trait,
        traits.trait_value,
        traits.value_type,
        traits.journey,
        traits.set_at
    from traits
    left join redirects
        on traits.profile_id = redirects.profile_id
    where traits.set_at <= {{ as_of() }}
),

-- As in the operational store: the latest counts.
ranked as (
    select
        *,
        row_number() over (
            partition by profile_id, trait
            order by
                set_at desc,
                case when set_for = profile_id then 1 else 0 end asc,
                set_for asc
        ) as place
    from owned
),

final as (
    select
        cast(profile_id as string) as profile_id,
        cast(trait as string) as trait,
        cast(trait_value as string) as value,
        cast(value_type as string) as value_type,
        cast(journey as string) as journey,
        cast(set_at as timestamp) as set_at
    from ranked
    where
        place = 1
        -- Who is forgotten by the sources is so here, and guests have no profile.
        and profile_id in (select profile_records.profile_id from profile_records)
)

select * from final
