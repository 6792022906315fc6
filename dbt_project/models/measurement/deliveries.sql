-- What became of each message, run by run, and of journeys' messages day by day: a day of a journey stands for a run
-- here. The source has one file per run, and its latest state wins: a
-- run is replaced as a whole when the file's instant is another than the recorded one (not only later: a
-- clock that was set back must not hide news). A run whose file is gone by retention stays as it is.
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

ledger as (
    select
        message_id,
        run_key,
        campaign,
        profile_id,
        channel,
        variant,
        message_state,
        delivery_reason,
        provider_id,
        code,
        batch_number,
        attempts_count,
        first_claimed_at,
        settled_at,
        exported_at
    from {{ ref('stg_operations__ledger') }}
    union all
    select
        message_id,
        run_key,
        campaign,
        profile_id,
        channel,
        variant,
        message_state,
        delivery_reason,
        provider_id,
        code,
        batch_number,
        attempts_count,
        first_claimed_at,
        left_at as settled_at,
        exported_at
    from {{ ref('stg_operations__journey_messages') }}
    where message_state is not null
),

{% if is_incremental() %}
    exported as (
        select
            run_key,
            max(exported_at) as exported_at
        from ledger
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
        cast(profile_id as string) as profile_id,
        cast(channel as string) as channel,
        cast(variant as string) as variant,
        cast(message_state as string) as message_state,
        cast(delivery_reason as string) as delivery_reason,
        cast(provider_id as string) as provider_id,
        cast(code as string) as code,
        cast(batch_number as integer) as batch_number,
        cast(attempts_count as integer) as attempts_count,
        cast(first_claimed_at as timestamp) as first_claimed_at,
        cast(settled_at as timestamp) as settled_at,
        cast(exported_at as timestamp) as exported_at
    from ledger
    {% if is_incremental() %}
        where run_key in (select news.run_key from news)
    {% endif %}
)

select * from final
