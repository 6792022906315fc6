select distinct profile_id
from {{ ref('int_profiles__complaints') }}
where not is_closed
