with

suppressed as (
    select * from {{ ref('stg_operations__suppressions') }}
),

addresses as (
    select * from {{ ref('int_profiles__addresses') }}
),

contact_points as (
    select * from {{ ref('contact_points') }}
),

holders as (
    select distinct
        profile_id,
        channel,
        address
    from addresses
),

final as (
    select
        cast(holders.profile_id as string) as profile_id,
        cast(holders.channel as string) as channel,
        cast(holders.address as string) as address,
        cast(suppressed.suppression_reason as string) as reason,
        cast(suppressed.suppression_source as string) as source,
        cast(contact_points.profile_id is not null as boolean) as is_contact_point,
        cast(suppressed.recorded_at as timestamp) as recorded_at
    from suppressed
    inner join holders
        on
            suppressed.channel = holders.channel
            and suppressed.address = holders.address
    left join contact_points
        on
            holders.profile_id = contact_points.profile_id
            and holders.channel = contact_points.channel
            and holders.address = contact_points.address
)

select * from final
