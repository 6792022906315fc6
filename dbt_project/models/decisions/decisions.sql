-- The record. A run that has lines here keeps them: they are appended once and never replaced, so that
-- deciding again, after a crash or on purpose, changes nothing. (`delete+insert` by key was rejected: a
-- person who has left the segment since would keep a line that a second pass does not make.)
{{
    config(
        materialized='incremental',
        incremental_strategy='append',
        full_refresh=false,
        on_schema_change='append_new_columns',
    )
}}

with

{% if is_incremental() %}
    recorded as (
        -- Only the open runs' part of the history is looked at.
        select distinct run_key
        from {{ this }}
        where run_key in (select distinct lines.run_key from {{ ref('int_decisions__lines') }} as lines)
    ),
{% endif %}

final as (
    select
        {{ in_one_file() }}
        cast(message_id as string) as message_id,
        cast(run_key as string) as run_key,
        cast(campaign as string) as campaign,
        cast(profile_id as string) as profile_id,
        cast(entity_id as string) as entity_id,
        cast(channel as string) as channel,
        cast(verdict as string) as verdict,
        cast(reason as string) as reason,
        cast(failed_rules as string) as failed_rules,
        cast(address as string) as address,
        cast(language as string) as language,
        cast(time_zone as string) as time_zone,
        cast(variant as string) as variant,
        cast(wave as integer) as wave,
        cast(consent_status as string) as consent_status,
        cast(suppression_reason as string) as suppression_reason,
        cast(excluded_by_segment as string) as excluded_by_segment,
        cast(already_sent_at as timestamp) as already_sent_at,
        cast(sample_bucket as integer) as sample_bucket,
        cast(cap as string) as cap,
        cast(cap_messages as integer) as cap_messages,
        cast(outranked_by as string) as outranked_by,
        cast(priority as double) as priority,
        cast(size_rank as bigint) as size_rank,
        cast(capacity as string) as capacity,
        cast(capacity_rank as bigint) as capacity_rank,
        cast(budget_spent as double) as budget_spent,
        cast(global_holdout_bucket as integer) as global_holdout_bucket,
        cast(holdout_bucket as integer) as holdout_bucket,
        cast(variant_bucket as integer) as variant_bucket,
        cast(batch_number as integer) as batch_number,
        cast(decided_at as timestamp) as decided_at,
        cast(send_at as timestamp) as send_at
    from {{ ref('int_decisions__lines') }}
    {% if is_incremental() %}
        where run_key not in (select recorded.run_key from recorded)
    {% endif %}
)

select * from final
