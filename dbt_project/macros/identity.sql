{#- Identity's rules, as the variables of dbt_project.yml declare them, and what its models share. -#}

{#- The namespaces in the order of their priority: name → {one_per_profile, max_records, together_with}.
A mistake in the variable is a compile error that names it. -#}
{% macro identity_namespaces() -%}
    {%- set declared = var('identity_namespaces') -%}
    {%- set known = identifier_columns().keys() | list -%}
    {%- for name, options in declared.items() -%}
        {%- if name not in known -%}
            {{ _wrong_namespace(name, "is not a namespace; there are " ~ known | join(', ')) }}
        {%- endif -%}
        {%- for key, value in (options or {}).items() -%}
            {%- if key == 'one_per_profile' -%}
                {%- if value is not sameas true and value is not sameas false -%}
                    {{ _wrong_namespace(name, key ~ " is true or false, not " ~ value) }}
                {%- endif -%}
            {%- elif key == 'max_records' -%}
                {%- if value is not none and (value is not integer or value < 1) -%}
                    {{ _wrong_namespace(name, key ~ " is a number of records or null, not " ~ value) }}
                {%- endif -%}
            {%- elif key == 'together_with' -%}
                {%- if value is not none and value not in ['first_name', 'last_name'] -%}
                    {{ _wrong_namespace(name, key ~ " is first_name or last_name, not " ~ value) }}
                {%- endif -%}
            {%- else -%}
                {{ _wrong_namespace(name, "there is no option " ~ key
                    ~ "; there are one_per_profile, max_records, together_with") }}
            {%- endif -%}
        {%- endfor -%}
    {%- endfor -%}
    {%- for name in known if name not in declared -%}
        {{ _wrong_namespace(name, "is missing; its place in the list is its priority") }}
    {%- endfor -%}
    {{ return(declared) }}
{%- endmacro %}

{% macro _wrong_namespace(name, why) -%}
    {{ exceptions.raise_compiler_error("vars: identity_namespaces: " ~ name ~ ": " ~ why) }}
{%- endmacro %}

{#- The namespaces that have an option, in the order of their priority: name → its value. -#}
{% macro namespaces_with(option) -%}
    {%- set found = {} -%}
    {%- for name, options in identity_namespaces().items() -%}
        {%- if (options or {}).get(option) -%}
            {%- do found.update({name: options[option]}) -%}
        {%- endif -%}
    {%- endfor -%}
    {{ return(found) }}
{%- endmacro %}

{#- 1 for the namespace declared first. -#}
{% macro namespace_priority(name) -%}
    {{ return((identity_namespaces().keys() | list).index(name) + 1) }}
{%- endmacro %}

{#- The most records that may carry an identifier of `namespace` (an expression); null where any number may. -#}
{% macro records_limit(namespace) -%}
    {%- set limits = namespaces_with('max_records') -%}
    {%- if limits -%}
        case {{ namespace }}
            {%- for name, limit in limits.items() %} when '{{ name }}' then {{ limit }}{% endfor %} end
    {%- else -%}
        cast(null as integer)
    {%- endif -%}
{%- endmacro %}

{#- Where an identifier of each namespace stands in int_identity__source_records. -#}
{% macro identifier_columns() -%}
    {{ return({
        'crm_id': "case when source = 'crm' then source_id end",
        'account_id': "case when source = 'shop' then source_id end",
        'email': 'email_identifier',
        'phone': 'phone_identifier',
        'device_id': 'device_id',
    }) }}
{%- endmacro %}

{#- What two records must share to be one person over a namespace; null where it joins nobody. -#}
{% macro match_key(namespace) -%}
    {%- set column = identifier_columns()[namespace] -%}
    {%- set together_with = namespaces_with('together_with').get(namespace) -%}
    {%- if namespace in own_ids() -%}
        cast(null as string)
    {%- elif together_with -%}
        '{{ namespace }}|' || {{ column }} || '|' || lower({{ regexp_replace_all(together_with, '\\s+', ' ') }})
    {%- else -%}
        '{{ namespace }}|' || {{ column }}
    {%- endif -%}
{%- endmacro %}

{#- The namespaces that can join records or have a limit. -#}
{% macro namespaces_that_count() -%}
    {%- set found = [] -%}
    {%- for name in identity_namespaces() if name not in own_ids() or name in namespaces_with('max_records') -%}
        {%- do found.append(name) -%}
    {%- endfor -%}
    {{ return(found) }}
{%- endmacro %}

{#- The namespaces of which a value is on one record only, its source's primary key: they join nothing, so that
rounds need not carry them. -#}
{% macro own_ids() -%}
    {{ return(['crm_id', 'account_id']) }}
{%- endmacro %}

{#- One row per record of `relation` and identifier: `columns`, namespace, identifier, match_key. -#}
{% macro identifiers_of(relation, columns, namespaces=none) -%}
    {%- for name in namespaces or (identity_namespaces().keys() | list) %}
    select
        {%- for column in columns %}
        {{ column }},
        {%- endfor %}
        '{{ name }}' as namespace,
        {{ identifier_columns()[name] }} as identifier,
        {{ match_key(name) }} as match_key
    from {{ relation }}
    where {{ identifier_columns()[name] }} is not null
    {{- "\n    union all" if not loop.last }}
    {%- endfor %}
{%- endmacro %}

{#- Whether `namespace` is in a text like |email|phone|, the form in which a record's set_aside says which of
its identifiers are on too many records. -#}
{% macro is_set_aside(set_aside, namespace) -%}
    instr({{ set_aside }}, '|' || {{ namespace }} || '|') > 0
{%- endmacro %}

{#- A fingerprint of all that decides about everybody: when it changes, every record is normalised and
every person resolved again, and keeps the profile_id. -#}
{% macro identity_rules() -%}
    {{ return(local_md5(tojson([
        var('identity_namespaces'), var('email_providers'), var('identity_links'), var('identity_revision')
    ]))) }}
{%- endmacro %}

{#- The order of age: the oldest record first, one without a time last. -#}
{% macro by_age(prefix='') -%}
    {{ prefix }}created_at asc nulls last, {{ prefix }}record_id asc
{%- endmacro %}

{#- Whether nobody has been resolved in this warehouse yet. -#}
{% macro is_first_resolution() -%}
    {{ return(not execute or _kept_by('int_identity__record_history') is none) }}
{%- endmacro %}

{#- What was resolved before this build: every row of int_identity__record_history. That model is built from
what reads this, so it cannot be a ref(). -#}
{% macro earlier_history() -%}
    {%- set kept = _kept_by('int_identity__record_history') if execute -%}
    {%- if kept -%}
        {{ kept }}
    {%- else -%}
        (
            select
                cast(null as string) as record_id,
                cast(null as string) as profile_id,
                cast(null as string) as component_id,
                cast(null as bigint) as identity_hash,
                cast(null as string) as set_aside,
                cast(null as string) as cut_by,
                cast(null as boolean) as is_founder,
                cast(null as timestamp) as created_at,
                cast(null as timestamp) as valid_from,
                cast(null as timestamp) as valid_to
            where false
        )
    {%- endif -%}
{%- endmacro %}

{#- When anybody was resolved last, before this build; null when nobody was. A subquery. -#}
{% macro last_resolved_at() -%}
    (select greatest(max(valid_from), max(valid_to)) from {{ earlier_history() }})
{%- endmacro %}

{#- The records that were known before this build, by the same road. -#}
{% macro earlier_records() -%}
    {%- set kept = _kept_by('int_identity__known_records') if execute -%}
    {%- if kept -%}
        {{ kept }}
    {%- else -%}
        (
            select
                cast(null as string) as record_id,
                cast(null as bigint) as row_hash,
                cast(null as boolean) as is_removed
            where false
        )
    {%- endif -%}
{%- endmacro %}

{#- The relation that holds what a model of this project kept; none before its first build. On an engine that
overwrites whole tables a copy is there while one was only half written (macros/dispatch/history.sql). -#}
{% macro _kept_by(name) -%}
    {%- set relation = load_relation(relation_of(publishable(name))) -%}
    {%- if relation is none -%}
        {{ return(none) }}
    {%- endif -%}
    {{ return(load_relation(earlier(relation)) or relation) }}
{%- endmacro %}
