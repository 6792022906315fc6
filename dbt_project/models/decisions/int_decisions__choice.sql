-- Among the lines that may be contacted: one entity per person, where the campaign wants one message per
-- person; one person per address; then, where it wants one channel per person, one of its channels.
--
-- Each rule chooses among the lines that the rules before it have left, and is asked of every line ("would it
-- have been stopped here, had it come so far?"), so that `explain` can show it. The holdouts are not looked at: a
-- person who is held out keeps the address and the channel that the message would have had.
--
-- Nearly all lines have nobody beside them, so the rules look at those only that have: the runs with one message
-- per person, the addresses that occur with two people, the runs with a second channel. The lines are a table
-- and read in place: as a CTE all of them would be copied.
{%- set chosen_for_entity_id = "case when runs.one_per = 'person' then '' else lines.entity_id end" %}
{#- The same for all channels where the campaign's own order decides. -#}
{% set preferred_at -%}
    case
        when runs.channel_choice = 'preferred' and lines.engaged_at is not null then lines.engaged_at
        else cast('1970-01-01 00:00:00' as timestamp)
    end
{%- endset %}

with

runs as (
    select
        run_key,
        channel_choice,
        one_per
    from {{ ref('stg_operations__runs') }}
),

ranked_entities as (
    select
        lines.run_key,
        lines.profile_id,
        lines.entity_id,
        lines.channel,
        lines.entered_at,
        row_number() over (
            partition by lines.run_key, lines.profile_id, lines.channel
            order by lines.entered_at desc, lines.entity_id asc
        ) as place
    from {{ ref('int_decisions__timing') }} as lines
    inner join runs
        on
            lines.run_key = runs.run_key
            and runs.one_per = 'person'
    where lines.is_possible
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

-- By number: of ten million addresses a handful occurs twice. Two that have one number by chance are told apart
-- below. A letter to a house is for one of those who live there: no address of two is one letter.
shared_addresses as (
    select {{ row_hash(['lines.run_key', 'lines.channel', 'lines.address_key']) }} as address_hash
    from {{ ref('int_decisions__timing') }} as lines
    where
        lines.address_key is not null
        and lines.channel <> 'direct_mail'
    group by {{ row_hash(['lines.run_key', 'lines.channel', 'lines.address_key']) }}
    having min({{ row_hash(['lines.profile_id']) }}) <> max({{ row_hash(['lines.profile_id']) }})
),

address_keepers as (
    select
        lines.run_key,
        lines.channel,
        lines.address_key,
        min(lines.profile_id) as keeper_profile_id
    from {{ ref('int_decisions__timing') }} as lines
    left join chosen_entities
        on
            lines.run_key = chosen_entities.run_key
            and lines.profile_id = chosen_entities.profile_id
            and lines.channel = chosen_entities.channel
    where
        lines.is_possible
        and lines.channel <> 'direct_mail'
        and {{ row_hash(['lines.run_key', 'lines.channel', 'lines.address_key']) }} in (
            select shared_addresses.address_hash from shared_addresses
        )
        and (
            chosen_entities.entity_id is null
            or chosen_entities.entity_id = lines.entity_id
        )
    group by
        lines.run_key,
        lines.channel,
        lines.address_key
),

choosing_runs as (
    select distinct
        lines.run_key,
        runs.one_per,
        runs.channel_choice
    from {{ ref('int_decisions__timing') }} as lines
    inner join runs on lines.run_key = runs.run_key
    where
        lines.channel_position > 0
        and runs.channel_choice in ('first_possible', 'preferred')
),

of_address_keepers as (
    select
        lines.run_key,
        lines.profile_id,
        lines.channel_position,
        {{ chosen_for_entity_id }} as chosen_for_entity_id,
        {{ preferred_at }} as preferred_at
    from {{ ref('int_decisions__timing') }} as lines
    inner join choosing_runs as runs on lines.run_key = runs.run_key
    left join chosen_entities
        on
            lines.run_key = chosen_entities.run_key
            and lines.profile_id = chosen_entities.profile_id
            and lines.channel = chosen_entities.channel
    left join address_keepers
        on
            lines.run_key = address_keepers.run_key
            and lines.channel = address_keepers.channel
            and lines.address_key = address_keepers.address_key
    where
        lines.is_possible
        and (
            chosen_entities.entity_id is null
            or chosen_entities.entity_id = lines.entity_id
        )
        and (
            address_keepers.keeper_profile_id is null
            or address_keepers.keeper_profile_id = lines.profile_id
        )
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
        -- What names the line in the joins of this pass.
        {{ row_key('lines', "concat_ws('|', lines.run_key, lines.profile_id, lines.entity_id, lines.channel)") }}
            as line_key,
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
            chosen_channels.preferred_at > {{ preferred_at }}
            or (
                chosen_channels.preferred_at = {{ preferred_at }}
                and chosen_channels.channel_position < lines.channel_position
            ),
            false
        ) as is_another_channel_chosen
    from {{ ref('int_decisions__timing') }} as lines
    inner join runs on lines.run_key = runs.run_key
    left join chosen_entities
        on
            lines.run_key = chosen_entities.run_key
            and lines.profile_id = chosen_entities.profile_id
            and lines.channel = chosen_entities.channel
    left join address_keepers
        on
            lines.run_key = address_keepers.run_key
            and lines.channel = address_keepers.channel
            and lines.address_key = address_keepers.address_key
    left join chosen_channels
        on
            lines.run_key = chosen_channels.run_key
            and lines.profile_id = chosen_channels.profile_id
            and chosen_channels.chosen_for_entity_id = {{ chosen_for_entity_id }}
)

select * from final
