-- No match key joins records of two profiles. A row here means that a chain of records is longer than
-- the rounds in int_identity__record_profiles: raise the variable identity_rounds.
select
    record_matches.match_key,
    count(distinct record_profiles.profile_id) as profiles_count
from {{ ref('int_identity__record_matches') }} as record_matches
inner join {{ ref('int_identity__record_profiles') }} as record_profiles
    on record_matches.record_id = record_profiles.record_id
group by record_matches.match_key
having count(distinct record_profiles.profile_id) > 1
