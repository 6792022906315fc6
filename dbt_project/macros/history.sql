{#- The body of a model that keeps the history of another: one row per key and period.

`valid_from` is the instant of the build that first saw the row so, `valid_to` of the build that saw it
otherwise or no longer (null while it holds): what was known at an instant t are the rows with
valid_from <= t and (valid_to is null or valid_to > t). Only what changed is written. `relation` has one
row per `key`; columns are compared one by one: a hash would be cheaper, but every engine upgrade that
changes it would write the history of everybody anew.

A build that is repeated for the same instant replaces what it wrote. A column that is new was null before.

The model's config is the one in macros/dispatch/history.sql, with the key and valid_from as unique_key and
refuse_to_go_back(this, ['valid_from', 'valid_to']) as the first of two pre-hooks. -#}
{% macro history_of(relation, key, columns) -%}
{%- set known = earlier_columns(this) -%}
with

{% if is_incremental() -%}
-- Both sides are read in place, first to compare and then for what differs: DuckDB copies a CTE that is read
-- more than once, and a whole history would fill the memory.
compared as (
    select
        {%- for column in key %}
        coalesce(current_rows.{{ column }}, open_rows.{{ column }}) as {{ column }},
        {%- endfor %}
        current_rows.{{ key[0] }} is not null as is_current
    from {{ relation }} as current_rows
    full outer join (
        select * from {{ earlier(this) }}
        where valid_to is null
    ) as open_rows
        on
            {{ _same_key('current_rows', 'open_rows', key) }}
    where
        current_rows.{{ key[0] }} is null
        or open_rows.{{ key[0] }} is null
        or {{ _any_differs('current_rows', 'open_rows', columns, known) }}
),

-- A row of this same instant is replaced.
changed as (
    select
        {%- for column in key + columns %}
        current_rows.{{ column }},
        {%- endfor %}
        {{ as_of() }} as valid_from,
        cast(null as timestamp) as valid_to
    from {{ relation }} as current_rows
    inner join compared
        on
            {{ _same_key('current_rows', 'compared', key) }}
    where compared.is_current
    union all
    select
        {%- for column in key + columns %}
        {{ earlier_column('open_rows', column, known) }},
        {%- endfor %}
        open_rows.valid_from,
        {{ as_of() }} as valid_to
    from {{ earlier(this) }} as open_rows
    inner join compared
        on
            {{ _same_key('open_rows', 'compared', key) }}
    where
        open_rows.valid_to is null
        and (
            not compared.is_current
            or open_rows.valid_from < {{ as_of() }}
        )
),
{%- else -%}
changed as (
    select
        {%- for column in key + columns %}
        {{ column }},
        {%- endfor %}
        {{ as_of() }} as valid_from,
        cast(null as timestamp) as valid_to
    from {{ relation }}
),
{%- endif %}

final as (
    select * from changed
    {{ kept_rows(this, 'changed', key + ['valid_from'], key + columns + ['valid_from', 'valid_to']) }}
)

select * from final
{%- endmacro %}

{% macro _same_key(left, right, key) -%}
    {%- for column in key -%}
        {{ left }}.{{ column }} = {{ right }}.{{ column }}
        {{- ' and ' if not loop.last -}}
    {%- endfor -%}
{%- endmacro %}

{% macro _any_differs(left, right, columns, known) -%}
    {%- for column in columns -%}
        {{ left }}.{{ column }} is distinct from {{ earlier_column(right, column, known) }}
        {{- ' or ' if not loop.last -}}
    {%- endfor -%}
{%- endmacro %}

{#- Fails, before anything is written, when `relation` holds times later than this build's instant: a
build as of a past date would rewrite history. `columns` are its timestamps. -#}
{% macro refuse_to_go_back(relation, columns) -%}
    {%- if execute and load_relation(relation) is not none -%}
        {%- set latest_query -%}
            select max(latest_at) as latest_at
            from (
                {%- for column in columns %}
                select max({{ column }}) as latest_at from {{ relation }}
                {{- ' union all' if not loop.last }}
                {%- endfor %}
            ) as latest
            having max(latest_at) > {{ as_of() }}
        {%- endset -%}
        {%- set rows = run_query(latest_query).rows -%}
        {%- if rows | length > 0 -%}
            {{ exceptions.raise_compiler_error(
                relation.identifier ~ " already holds changes of " ~ rows[0][0] ~ " UTC; a build as of "
                ~ (var('as_of', none) or 'an earlier clock') ~ " would rewrite its history. Build the past in a "
                ~ "warehouse of its own (KUNDRESA_WAREHOUSE_PATH)."
            ) }}
        {%- endif -%}
    {%- endif -%}
{%- endmacro %}
