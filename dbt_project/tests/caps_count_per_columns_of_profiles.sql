-- Caps that are counted per a column that profiles do not have: each person would be counted alone.
select
    run_key,
    cap,
    counted_per
from {{ ref('stg_operations__run_caps') }}
where
    counted_per <> ''
    {% for column in cap_columns() -%}
    and counted_per <> '{{ column }}'
    {% endfor %}
