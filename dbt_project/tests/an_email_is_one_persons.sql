-- An email address that joins records joins them to one profile, and no other profile has it.
select
    identifier,
    count(distinct profile_id) as profiles_count
from {{ ref('profile_identifiers') }}
where namespace = 'email'
group by identifier
having count(distinct profile_id) > 1
