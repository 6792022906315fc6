select profile_id
from {{ ref('consents') }}
where
    channel = 'email'
    and topic = 'newsletter'
    and status = 'yes'
