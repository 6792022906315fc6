{#- The traits of `relation` (a CTE or a table like profile_history) that are no facts about one person: how
long ago something is at `instant`, and how a buyer compares with the others. Gives the relation's columns
and days_since_last_order, recency_score, frequency_score, monetary_score. `buyers` is a relation with the
same orders_count, total_spend and last_order_date that costs less to read three times; the relation
itself by default.

History does not keep them: one grows every day and a score changes when others buy. A past profile gets
them again from here, with its own instant. -#}
{% macro with_relative_traits(relation, instant, buyers=none) -%}
    {%- set buyers = buyers or relation -%}
    select
        {{ relation }}.*,
        {{ days_between(relation ~ '.last_ordered_at', instant) }} as days_since_last_order,
        recency.score as recency_score,
        frequency.score as frequency_score,
        monetary.score as monetary_score
    from {{ relation }}
    left join {{ _scores(buyers, 'last_order_date') }} as recency
        on {{ relation }}.last_order_date = recency.score_of
    left join {{ _scores(buyers, _orders_of_buyer('orders_count')) }} as frequency
        on {{ _orders_of_buyer(relation ~ '.orders_count') }} = frequency.score_of
    left join {{ _scores(buyers, _whole_spend('orders_count', 'total_spend')) }} as monetary
        on {{ _whole_spend(relation ~ '.orders_count', relation ~ '.total_spend') }} = monetary.score_of
{%- endmacro %}

{#- One row per distinct value: 1 to 5, by the share of people whose value is smaller, a fifth each. Equal
values have equal scores, on every engine. (ntile() would part equals by chance, and needs all people
in one sorted window; there are a few thousand distinct values.) -#}
{% macro _scores(relation, expression) -%}
    (
        select
            score_of,
            1 + floor(cast(5 * (up_to_count - people_count) as double) / all_count) as score
        from (
            select
                score_of,
                people_count,
                sum(people_count) over (order by score_of) as up_to_count,
                sum(people_count) over () as all_count
            from (
                select
                    {{ expression }} as score_of,
                    count(*) as people_count
                from {{ relation }}
                where orders_count > 0
                group by {{ expression }}
            ) as people_by_value
        ) as ranked_values
    )
{%- endmacro %}

{% macro _orders_of_buyer(orders_count) -%}
    case when {{ orders_count }} > 0 then {{ orders_count }} end
{%- endmacro %}

{% macro _whole_spend(orders_count, total_spend) -%}
    case when {{ orders_count }} > 0 then floor({{ total_spend }}) end
{%- endmacro %}

{#- The columns of `profiles` that profile_history keeps: all but profile_id and the relative traits. A test
holds the list against the contract of both. -#}
{% macro profile_history_columns() -%}
    {{ return([
        'crm_id', 'account_id', 'first_name', 'last_name', 'language', 'country', 'region', 'time_zone',
        'time_zone_source', 'favourite_category', 'orders_count', 'orders_30d_count', 'orders_90d_count',
        'orders_365d_count', 'total_spend', 'spend_365d', 'average_order_value', 'email_opens_90d_count',
        'email_clicks_90d_count', 'sms_clicks_90d_count', 'push_opens_90d_count', 'push_clicks_90d_count',
        'customer_since_date', 'first_order_date', 'last_order_date', 'last_ordered_at', 'email_engaged_at',
        'sms_engaged_at', 'push_engaged_at', 'web_seen_at',
    ]) }}
{%- endmacro %}

{#- `amount` by `orders_count`, to the cent, half a cent up: in whole cents, since engines round a double
that lies a hair beside the half in different directions. -#}
{% macro per_order(amount, orders_count) -%}
    floor(
        cast(2 * cast({{ amount }} * 100 as bigint) + {{ orders_count }} as double) / (2 * {{ orders_count }})
    ) / 100
{%- endmacro %}
