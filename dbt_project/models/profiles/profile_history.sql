{{
    config(
        materialized='incremental',
        incremental_strategy=replace_strategy(),
        unique_key=['profile_id', 'valid_from'],
        full_refresh=false,
        on_schema_change='append_new_columns',
        pre_hook=["{{ refuse_to_go_back(this, ['valid_from', 'valid_to']) }}", "{{ keep_earlier(this) }}"],
    )
}}
{{ history_of(ref('profiles'), ['profile_id'], profile_history_columns()) }}
