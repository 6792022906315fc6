-- No profile has two values of a namespace that is one_per_profile.
{%- for name in namespaces_with('one_per_profile') %}
select
    record_profiles.profile_id,
    '{{ name }}' as namespace
from {{ ref('int_identity__affected_records') }} as affected_records
inner join {{ ref('int_identity__record_profiles') }} as record_profiles
    on affected_records.record_id = record_profiles.record_id
group by record_profiles.profile_id
having min({{ identifier_columns()[name] }}) != max({{ identifier_columns()[name] }})
union all
{%- endfor %}
select
    cast(null as string) as profile_id,
    cast(null as string) as namespace
where false
