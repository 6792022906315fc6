{{ config(tags=['segment']) }}

select profile_id
from {{ ref('profiles') }}
where days_since_last_order <= {{ var('recent_within_days') }}
