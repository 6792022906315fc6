-- A key that joins records of two components, or a person of a cut component whom no seed has reached: the
-- rounds are too few for a chain of records that long; raise the variable identity_rounds.
{%- set limited = namespaces_with('one_per_profile').keys() | list %}
with

components as (
    select
        affected_keys.match_key,
        clusters.component_id
    from {{ ref('int_identity__affected_keys') }} as affected_keys
    inner join {{ ref('int_identity__clusters') }} as clusters
        on affected_keys.record_rank = clusters.record_rank
),

seeds as (
    select
        clusters.cluster_rank,
        max(
            case
                when
                    false
                    {%- for name in limited %}
                    or {{ identifier_columns()[name] }} is not null
                    {%- endfor %}
                    then 1
                else 0
            end
        ) as has_seed
    from {{ ref('int_identity__clusters') }} as clusters
    inner join {{ ref('int_identity__affected_records') }} as affected_records
        on clusters.record_rank = affected_records.record_rank
    where clusters.cut_by is not null
    group by clusters.cluster_rank
)

select
    match_key as unfinished,
    count(distinct component_id) as parts_count
from components
group by match_key
having min(component_id) != max(component_id)
union all
select
    'cluster ' || cast(cluster_rank as string) as unfinished,
    1 as parts_count
from seeds
where has_seed = 0
