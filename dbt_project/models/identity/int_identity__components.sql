{#- Connected components: the records that hang together over keys, directly or over others, each with the
rank of the oldest. Records that share nothing are not here.

Large-star and small-star by turns (Kiveris et al. 2014, "Connected Components in MapReduce and Beyond"),
unrolled, so that it is plain SQL on every engine. Edges point from the younger record to the older one. A
large star hangs the younger neighbours of every record on its oldest neighbour, a small star the older
ones; in the end every record hangs on the oldest of its component. Chains halve in every round: r rounds
are enough for about 2^r records in a row, and fewer cannot go unnoticed: the test identity_has_converged
fails then. Plain label propagation moves by one record a round and costs twice as much; a recursive query
stops by itself, but aggregates in it are not there on every engine. -#}
with

affected_keys as (
    select * from {{ ref('int_identity__affected_keys') }}
),

edges_0 as (
    select distinct
        record_rank as younger,
        key_rank as older
    from affected_keys
    where record_rank != key_rank
),
{% for number in range(1, var('identity_rounds') + 1) %}
large_star_{{ number }} as (
    select distinct
        neighbours.neighbour as younger,
        neighbours.oldest as older
    from (
        select
            both_ways.record,
            both_ways.neighbour,
            least(both_ways.record, min(both_ways.neighbour) over (partition by both_ways.record)) as oldest
        from (
            select
                case when ends.number = 1 then edges.younger else edges.older end as record,
                case when ends.number = 1 then edges.older else edges.younger end as neighbour
            from edges_{{ number - 1 }} as edges
            cross join (values (1), (2)) as ends (number)
        ) as both_ways
    ) as neighbours
    where neighbours.neighbour > neighbours.record
),

edges_{{ number }} as (
    select distinct
        hanging.hung as younger,
        hanging.oldest as older
    from (
        select
            case when ends.number = 1 then stars.younger else stars.older end as hung,
            stars.oldest
        from (
            select
                younger,
                older,
                min(older) over (partition by younger) as oldest
            from large_star_{{ number }}
        ) as stars
        cross join (values (1), (2)) as ends (number)
    ) as hanging
    where hanging.hung != hanging.oldest
),
{% endfor %}
final as (
    select
        younger as record_rank,
        min(older) as component_rank
    from edges_{{ var('identity_rounds') }}
    group by younger
    union all
    select
        older as record_rank,
        older as component_rank
    from edges_{{ var('identity_rounds') }}
    group by older
)

select * from final
