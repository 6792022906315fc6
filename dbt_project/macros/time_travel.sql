{#- What a publication says was known at an instant: the marts that decisions read, from the histories
beside them. The best hours have no past and are today's. Another mart has no past, and no view: who reads it as of
a past date gets an error.

`at` is the SQL of the instant, UTC. -#}
{% macro use_published_as_of(build_dir, at) %}
    {% for name, rows in {
        'profiles': past_profiles(build_dir, at),
        'contact_points': held_at(build_dir, 'contact_point_history', at),
        'consents': held_at(build_dir, 'consent_history', at),
        'segment_memberships': past_memberships(build_dir, at),
        'profile_redirects': past_redirects(build_dir, at),
        'best_hours': today(build_dir, 'best_hours'),
        'zone_best_hours': today(build_dir, 'zone_best_hours'),
    }.items() %}
        {% set node = publishable(name) %}
        {% set relation = relation_of(node) %}
        {% do adapter.create_schema(relation) %}
        {% do run_query('create or replace view ' ~ relation ~ ' as ' ~ as_contracted(node, rows)) %}
    {% endfor %}
{% endmacro %}

{#- All rows of a published mart. -#}
{% macro today(build_dir, mart) -%}
    select * from {{ parquet_files(build_dir ~ '/' ~ mart ~ '/*.parquet') }}
{%- endmacro %}

{#- The rows of a published history that held at an instant. -#}
{% macro held_at(build_dir, history, at) -%}
    select *
    from {{ parquet_files(build_dir ~ '/' ~ history ~ '/*.parquet') }}
    where
        valid_from <= {{ at }}
        and (valid_to is null or valid_to > {{ at }})
{%- endmacro %}

{#- How long ago something was, and how a buyer compares with the others, is computed for the instant. -#}
{% macro past_profiles(build_dir, at) -%}
    with known as (
        {{ held_at(build_dir, 'profile_history', at) }}
    )
    {{ with_relative_traits('known', at) }}
{%- endmacro %}

{#- Who had entered by then; who left later is still in, and nobody knows why yet. -#}
{% macro past_memberships(build_dir, at) -%}
    select
        {%- for column in publishable('segment_memberships').columns %}
        {%- if column in ['exited_at', 'exit_reason'] %}
        case when exited_at <= {{ at }} then {{ column }} end as {{ column }}
        {%- else %}
        {{ column }}
        {%- endif -%}
        {{ ',' if not loop.last }}
        {%- endfor %}
    from {{ parquet_files(build_dir ~ '/segment_memberships/*.parquet') }}
    where entered_at <= {{ at }}
{%- endmacro %}

{#- Who had been merged by then. Who was merged once more since is followed to who they are today. -#}
{% macro past_redirects(build_dir, at) -%}
    select *
    from {{ parquet_files(build_dir ~ '/profile_redirects/*.parquet') }}
    where redirected_at <= {{ at }}
{%- endmacro %}

{#- A query's rows with the columns of a model's contract, in their order and types. -#}
{% macro as_contracted(node, rows) -%}
    select
        {%- for column in node.columns.values() %}
        cast({{ column.name }} as {{ column.data_type }}) as {{ column.name }}{{ ',' if not loop.last }}
        {%- endfor %}
    from ({{ rows }}) as past_rows
{%- endmacro %}
