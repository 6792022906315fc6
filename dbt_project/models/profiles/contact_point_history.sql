{{
    config(
        materialized='incremental',
        incremental_strategy=replace_strategy(),
        unique_key=['profile_id', 'channel', 'valid_from'],
        full_refresh=false,
        on_schema_change='append_new_columns',
        pre_hook=["{{ refuse_to_go_back(this, ['valid_from', 'valid_to']) }}", "{{ keep_earlier(this) }}"],
    )
}}
{{ history_of(
    ref('contact_points'),
    ['profile_id', 'channel'],
    ['address', 'is_valid', 'invalid_reason', 'source', 'updated_at']
) }}
