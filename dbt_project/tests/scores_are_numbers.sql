-- The scores of `vars: scores` are computed for everybody: one that names no column, or is no number, fails the
-- build and not the decisions of all campaigns. Infinity and NaN have no place in an order.
with

scores as (
    select
        profiles.profile_id
        {{- ', ' ~ score_columns() if var('scores') }}
    from {{ ref('profiles') }} as profiles
)

select scores.profile_id
from scores
where
    false
    {%- for name in var('scores') %}
    or isnan(scores.{{ name }})
    or abs(scores.{{ name }}) = cast('Infinity' as double)
    {%- endfor %}
