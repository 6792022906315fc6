{#- Who is one person: components, cut where they would hold two values of a namespace that a person has one
of. Then the records with a value are the seeds, one per value, and keep it; the others join the seed that
is the fewest keys away; of those the one over the strongest namespace; of those the oldest. Each round
moves every seed one key further; a record that the rounds do not reach fails the test
identity_has_converged. -#}
{%- set limited = namespaces_with('one_per_profile').keys() | list -%}
{#- Above any rank, so that priority and rank fit into one number that compares like both. -#}
{%- set above_ranks = 10000000000000000 -%}
with

affected_keys as (
    select * from {{ ref('int_identity__affected_keys') }}
),

components as (
    select * from {{ ref('int_identity__components') }}
),

clusters_0 as (
    select
        affected_records.record_id,
        affected_records.record_rank,
        {%- for name in limited %}
        {{ identifier_columns()[name] }} as only_{{ name }},
        {%- endfor %}
        coalesce(components.component_rank, affected_records.record_rank) as component_rank,
        coalesce(components.component_rank, affected_records.record_rank) as cluster_rank,
        cast(null as string) as cut_by
    from {{ ref('int_identity__affected_records') }} as affected_records
    left join components
        on affected_records.record_rank = components.record_rank
    where not affected_records.is_removed
),
{% for name in limited %}
{%- set before = 'clusters_' ~ loop.index0 %}
{%- set after = 'clusters_' ~ loop.index %}
too_many_{{ name }} as (
    select cluster_rank
    from {{ before }}
    where only_{{ name }} is not null
    group by cluster_rank
    having min(only_{{ name }}) != max(only_{{ name }})
),

seeded_{{ name }} as (
    select
        {{ before }}.record_rank,
        {{ before }}.cluster_rank,
        case
            when {{ before }}.only_{{ name }} is not null
                then min({{ before }}.record_rank) over (
                    partition by {{ before }}.cluster_rank, {{ before }}.only_{{ name }}
                )
        end as seed_rank
    from {{ before }}
    inner join too_many_{{ name }}
        on {{ before }}.cluster_rank = too_many_{{ name }}.cluster_rank
),

{{ name }}_round_0 as (
    select
        seeded_{{ name }}.record_rank,
        seeded_{{ name }}.cluster_rank,
        affected_keys.match_key,
        affected_keys.priority,
        seeded_{{ name }}.seed_rank
    from seeded_{{ name }}
    inner join affected_keys
        on seeded_{{ name }}.record_rank = affected_keys.record_rank
),
{% for number in range(1, var('identity_rounds') + 1) %}
{{ name }}_round_{{ number }} as (
    select
        record_rank,
        cluster_rank,
        match_key,
        priority,
        coalesce(
            seed_rank,
            cast(min(offer) over (partition by record_rank) % {{ above_ranks }} as bigint)
        ) as seed_rank
    from (
        select
            *,
            priority * {{ above_ranks }} + min(seed_rank) over (partition by cluster_rank, match_key) as offer
        from {{ name }}_round_{{ number - 1 }}
    ) as offered_{{ number }}
),
{% endfor %}
nearest_{{ name }} as (
    select
        record_rank,
        min(seed_rank) as seed_rank
    from {{ name }}_round_{{ var('identity_rounds') }}
    group by record_rank
),

{{ after }} as (
    select
        {{ before }}.record_id,
        {{ before }}.record_rank,
        {%- for other in limited %}
        {{ before }}.only_{{ other }},
        {%- endfor %}
        {{ before }}.component_rank,
        case
            when too_many_{{ name }}.cluster_rank is null then {{ before }}.cluster_rank
            else coalesce(nearest_{{ name }}.seed_rank, {{ before }}.record_rank)
        end as cluster_rank,
        case
            when too_many_{{ name }}.cluster_rank is null then {{ before }}.cut_by
            else coalesce({{ before }}.cut_by || ', ', '') || '{{ name }}'
        end as cut_by
    from {{ before }}
    left join too_many_{{ name }}
        on {{ before }}.cluster_rank = too_many_{{ name }}.cluster_rank
    left join nearest_{{ name }}
        on {{ before }}.record_rank = nearest_{{ name }}.record_rank
),
{% endfor %}
final as (
    select
        clusters.record_id,
        clusters.record_rank,
        clusters.cluster_rank,
        named.record_id as component_id,
        clusters.cut_by
    from clusters_{{ limited | length }} as clusters
    inner join {{ ref('int_identity__affected_records') }} as named
        on clusters.component_rank = named.record_rank
)

select * from final
