-- Every message that somebody came to in a journey, and what was decided about it. A day of a journey is replaced as a
-- whole, as a run is in `deliveries`.
{{
    config(
        materialized='incremental',
        incremental_strategy=replace_strategy(),
        unique_key='run_key',
        partition_by=replaced_partition('run_key'),
        full_refresh=false,
        on_schema_change='append_new_columns',
    )
}}

with

messages as (
    select * from {{ ref('stg_operations__journey_messages') }}
),

{% if is_incremental() %}
    exported as (
        select
            run_key,
            max(exported_at) as exported_at
        from messages
        group by run_key
    ),

    recorded as (
        select
            run_key,
            max(exported_at) as exported_at
        from {{ this }}
        where run_key in (select exported.run_key from exported)
        group by run_key
    ),

    news as (
        select exported.run_key
        from exported
        left join recorded on exported.run_key = recorded.run_key
        where
            recorded.exported_at is null
            or recorded.exported_at != exported.exported_at
    ),
{% endif %}

final as (
    select
        cast(message_id as string) as message_id,
        cast(run_key as string) as run_key,
        cast(campaign as string) as campaign,
        cast(journey as string) as journey,
        cast(step as string) as step,
        cast(topic as string) as topic,
        cast(profile_id as string) as profile_id,
        cast(entity_id as string) as entity_id,
        cast(channel as string) as channel,
        cast(variant as string) as variant,
        cast(verdict as string) as verdict,
        cast(reason as string) as reason,
        cast(cap as string) as cap,
        cast(capacity as string) as capacity,
        cast(version as integer) as version,
        cast(batch_number as integer) as batch_number,
        cast(is_counted as boolean) as is_counted,
        cast(reached_at as timestamp) as reached_at,
        cast(send_at as timestamp) as send_at,
        cast(settled_at as timestamp) as settled_at,
        cast(exported_at as timestamp) as exported_at
    from messages
    {% if is_incremental() %}
        where run_key in (select news.run_key from news)
    {% endif %}
)

select * from final
