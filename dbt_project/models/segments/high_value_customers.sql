{{ config(tags=['segment']) }}

select profile_id
from {{ ref('profiles') }}
where total_spend >= {{ var('high_value_min_spend') }}
