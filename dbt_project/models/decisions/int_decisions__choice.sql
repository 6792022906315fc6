-- Among the lines that may be contacted: one person per address, then, where the campaign wants one
-- channel per person, the first of its channels.
--
-- Both rules are asked of every line ("would it have been stopped here, had it come so far?"), so that
-- `explain` can show them; only contactable lines can stop another.
with

runs as (
    select
        run_key,
        channel_choice
    from {{ ref('stg_operations__runs') }}
),

lines as (
    select * from {{ ref('int_decisions__contactability') }}
),

address_keepers as (
    select
        run_key,
        channel,
        address_key,
        min(profile_id) as keeper_profile_id
    from lines
    where is_contactable
    group by
        run_key,
        channel,
        address_key
),

deduplicated as (
    select
        lines.*,
        coalesce(address_keepers.keeper_profile_id < lines.profile_id, false) as is_duplicate_address
    from lines
    left join address_keepers
        on
            lines.run_key = address_keepers.run_key
            and lines.channel = address_keepers.channel
            and lines.address_key = address_keepers.address_key
),

first_channels as (
    select
        deduplicated.run_key,
        deduplicated.profile_id,
        deduplicated.entity_id,
        min(deduplicated.channel_position) as first_position
    from deduplicated
    inner join runs on deduplicated.run_key = runs.run_key
    where
        runs.channel_choice = 'first_possible'
        and deduplicated.is_contactable
        and not deduplicated.is_duplicate_address
    group by
        deduplicated.run_key,
        deduplicated.profile_id,
        deduplicated.entity_id
),

final as (
    select
        deduplicated.*,
        coalesce(
            first_channels.first_position < deduplicated.channel_position, false
        ) as is_another_channel_chosen
    from deduplicated
    left join first_channels
        on
            deduplicated.run_key = first_channels.run_key
            and deduplicated.profile_id = first_channels.profile_id
            and deduplicated.entity_id = first_channels.entity_id
)

select * from final
