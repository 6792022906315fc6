-- Among the lines that may be contacted: one entity per person, where the campaign wants one message per
-- person; one person per address; then, where it wants one channel per person, one of its channels.
--
-- Each rule chooses among the lines that the rules before it have left, and is asked of every line ("would it
-- have been stopped here, had it come so far?"), so that `explain` can show it. The holdouts are not looked at: a
-- person who is held out keeps the address and the channel that the message would have had.
with

runs as (
    select
        run_key,
        channel_choice,
        one_per
    from {{ ref('stg_operations__runs') }}
),

lines as (
    select
        timing.*,
        runs.channel_choice,
        runs.one_per,
        -- What messages have in common that are one: a letter to a house is for one of those who live there.
        case
            when timing.channel = 'direct_mail' then concat_ws(' ', timing.address_key, timing.profile_id)
            else timing.address_key
        end as shared_address_key,
        -- What a channel is chosen for: the person, or each entity.
        case when runs.one_per = 'person' then '' else timing.entity_id end as chosen_for_entity_id,
        -- The same for all channels where the campaign's own order decides.
        case
            when runs.channel_choice = 'preferred' and timing.engaged_at is not null then timing.engaged_at
            else cast('1970-01-01 00:00:00' as timestamp)
        end as preferred_at
    from {{ ref('int_decisions__timing') }} as timing
    inner join runs on timing.run_key = runs.run_key
),

possible as (
    select
        run_key,
        profile_id,
        entity_id,
        channel,
        shared_address_key,
        channel_choice,
        one_per,
        chosen_for_entity_id,
        channel_position,
        entered_at,
        preferred_at
    from lines
    where is_possible
),

ranked_entities as (
    select
        *,
        row_number() over (
            partition by run_key, profile_id, channel
            order by entered_at desc, entity_id asc
        ) as place
    from possible
    where one_per = 'person'
),

chosen_entities as (
    select
        run_key,
        profile_id,
        entity_id,
        channel,
        entered_at
    from ranked_entities
    where place = 1
),

of_chosen_entities as (
    select possible.*
    from possible
    left join chosen_entities
        on
            possible.run_key = chosen_entities.run_key
            and possible.profile_id = chosen_entities.profile_id
            and possible.channel = chosen_entities.channel
    where
        chosen_entities.entity_id is null
        or chosen_entities.entity_id = possible.entity_id
),

address_keepers as (
    select
        run_key,
        channel,
        shared_address_key,
        min(profile_id) as keeper_profile_id
    from of_chosen_entities
    group by
        run_key,
        channel,
        shared_address_key
),

of_address_keepers as (
    select of_chosen_entities.*
    from of_chosen_entities
    inner join address_keepers
        on
            of_chosen_entities.run_key = address_keepers.run_key
            and of_chosen_entities.channel = address_keepers.channel
            and of_chosen_entities.shared_address_key = address_keepers.shared_address_key
            and of_chosen_entities.profile_id = address_keepers.keeper_profile_id
    where of_chosen_entities.channel_choice in ('first_possible', 'preferred')
),

latest_engagements as (
    select
        run_key,
        profile_id,
        chosen_for_entity_id,
        max(preferred_at) as preferred_at
    from of_address_keepers
    group by
        run_key,
        profile_id,
        chosen_for_entity_id
),

chosen_channels as (
    select
        of_address_keepers.run_key,
        of_address_keepers.profile_id,
        of_address_keepers.chosen_for_entity_id,
        of_address_keepers.preferred_at,
        min(of_address_keepers.channel_position) as channel_position
    from of_address_keepers
    inner join latest_engagements
        on
            of_address_keepers.run_key = latest_engagements.run_key
            and of_address_keepers.profile_id = latest_engagements.profile_id
            and of_address_keepers.chosen_for_entity_id = latest_engagements.chosen_for_entity_id
            and of_address_keepers.preferred_at = latest_engagements.preferred_at
    group by
        of_address_keepers.run_key,
        of_address_keepers.profile_id,
        of_address_keepers.chosen_for_entity_id,
        of_address_keepers.preferred_at
),

final as (
    select
        lines.*,
        coalesce(
            chosen_entities.entered_at > lines.entered_at
            or (
                chosen_entities.entered_at = lines.entered_at
                and chosen_entities.entity_id < lines.entity_id
            ),
            false
        ) as is_another_entity_chosen,
        coalesce(address_keepers.keeper_profile_id < lines.profile_id, false) as is_duplicate_address,
        coalesce(
            chosen_channels.preferred_at > lines.preferred_at
            or (
                chosen_channels.preferred_at = lines.preferred_at
                and chosen_channels.channel_position < lines.channel_position
            ),
            false
        ) as is_another_channel_chosen
    from lines
    left join chosen_entities
        on
            lines.run_key = chosen_entities.run_key
            and lines.profile_id = chosen_entities.profile_id
            and lines.channel = chosen_entities.channel
    left join address_keepers
        on
            lines.run_key = address_keepers.run_key
            and lines.channel = address_keepers.channel
            and lines.shared_address_key = address_keepers.shared_address_key
    left join chosen_channels
        on
            lines.run_key = chosen_channels.run_key
            and lines.profile_id = chosen_channels.profile_id
            and lines.chosen_for_entity_id = chosen_channels.chosen_for_entity_id
)

select * from final
