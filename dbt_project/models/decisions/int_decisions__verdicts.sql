-- The rules in their order, and the verdict. The order of the cases below is the order of the rules in
-- kundresa.spec.vocabulary.DecisionReason, and a test compares the two.
--
-- A table, since all rules behind the timing are in this one query, and the batches' joins and sorts beside them were
-- more than fits into memory.
with

lines as (
    select * from {{ ref('int_decisions__capacity') }}
),

ruled as (
    select
        lines.*,
        {{ message_id(
            'lines.run_key', 'lines.profile_id', 'lines.entity_id', 'lines.channel', 'campaign'
        ) }} as message_id,
        concat_ws(
            ',',
            case when lines.excluded_by_segment is not null then 'in_excluded_segment' end,
            case when lines.already_sent_at is not null then 'already_sent' end,
            case when lines.is_not_in_sample then 'not_in_sample' end,
            case when not lines.has_address then 'contact_point_missing' end,
            case when lines.has_address and not lines.is_address_valid then 'address_invalid' end,
            case when lines.is_not_on_allow_list then 'not_on_allow_list' end,
            case when lines.suppression_reason is not null then 'suppressed' end,
            case when lines.is_consent_denied then 'consent_denied' end,
            case when lines.is_consent_unknown then 'consent_unknown' end,
            case when lines.is_time_zone_unknown then 'time_zone_unknown' end,
            case when lines.is_out_of_hours then 'out_of_hours' end,
            case when lines.is_another_entity_chosen then 'another_entity_chosen' end,
            case when lines.is_duplicate_address then 'duplicate_address' end,
            case when lines.is_another_channel_chosen then 'another_channel_chosen' end,
            case when lines.is_capped then 'capped' end,
            case when lines.is_outranked then 'outranked' end,
            case when lines.is_over_max_size then 'over_max_size' end,
            case when lines.is_over_warm_up then 'over_warm_up' end,
            case when lines.is_over_capacity then 'over_capacity' end,
            case when lines.is_over_budget then 'over_budget' end,
            case when lines.is_globally_held_out then 'global_holdout' end,
            case when lines.is_held_out then 'holdout' end
        ) as failed_rules
    from lines
),

final as (
    select
        message_id,
        run_key,
        campaign,
        profile_id,
        entity_id,
        channel,
        failed_rules,
        address,
        language,
        time_zone,
        variant,
        wave,
        consent_status,
        suppression_reason,
        excluded_by_segment,
        already_sent_at,
        sample_bucket,
        cap,
        cap_messages,
        outranked_by,
        priority,
        size_rank,
        capacity,
        capacity_rank,
        budget_spent,
        global_holdout_bucket,
        holdout_bucket,
        variant_bucket,
        send_at,
        nullif(split_part(failed_rules, ',', 1), '') as reason,
        case
            when failed_rules = '' then 'send'
            when failed_rules in ('holdout', 'global_holdout', 'global_holdout,holdout') then 'holdout'
            else 'exclude'
        end as verdict
    from ruled
)

select * from final
