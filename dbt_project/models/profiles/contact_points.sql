with

addresses as (
    select * from {{ ref('int_profiles__addresses') }}
),

ordered as (
    select
        *,
        row_number() over (
            partition by profile_id, channel
            order by
                case when invalid_reason is null then 0 else 1 end asc,
                choice_rank desc
        ) as choice
    from addresses
),

final as (
    select
        cast(profile_id as string) as profile_id,
        cast(channel as string) as channel,
        cast(address as string) as address,
        cast(invalid_reason is null as boolean) as is_valid,
        cast(invalid_reason as string) as invalid_reason,
        cast(source as string) as source,
        cast(updated_at as timestamp) as updated_at
    from ordered
    where choice = 1
)

select * from final
