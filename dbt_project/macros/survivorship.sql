{#- Survivorship: which of a person's records says what the profile says, declared attribute by attribute
in the variable `survivorship`. A record that does not know an attribute has no say in it.

most_recent   the record updated last; on a tie the source named first in `source_trust`
most_trusted  the source named first in `source_trust`; within a source the record updated last
first_known   the record created first; on a tie the source named first in `source_trust`

The smallest record_id breaks what ties remain, so that a build gives the same again. A record without the
time in question comes last, and so does one whose time is in the future. -#}

{#- The attributes that must have a rule: those of `profiles`, and the addresses of `contact_points`. -#}
{% macro survivorship_attributes() -%}
    {{ return([
        'first_name', 'last_name', 'language', 'country', 'region', 'time_zone',
        'email', 'phone', 'push_token', 'postal_address',
    ]) }}
{%- endmacro %}

{#- attribute → rule, as declared. A mistake in the declaration is a compile error that names it. -#}
{% macro survivorship_rules() -%}
    {%- set declared = var('survivorship') -%}
    {%- set attributes = survivorship_attributes() -%}
    {%- set rules = ['most_recent', 'most_trusted', 'first_known'] -%}
    {%- for attribute, rule in declared.items() -%}
        {%- if attribute not in attributes -%}
            {{ exceptions.raise_compiler_error(
                "vars: survivorship: " ~ attribute ~ " is not an attribute of a profile; there are "
                ~ attributes | join(', ')
            ) }}
        {%- endif -%}
        {%- if rule not in rules -%}
            {{ exceptions.raise_compiler_error(
                "vars: survivorship: " ~ attribute ~ ": there is no rule " ~ rule ~ "; there are "
                ~ rules | join(', ')
            ) }}
        {%- endif -%}
    {%- endfor -%}
    {%- for attribute in attributes if attribute not in declared -%}
        {{ exceptions.raise_compiler_error("vars: survivorship: " ~ attribute ~ " has no rule") }}
    {%- endfor -%}
    {{ return(declared) }}
{%- endmacro %}

{#- How much `source` is trusted, as an SQL number: the source named first has the largest. -#}
{% macro source_trust(source) -%}
    {%- set declared = var('source_trust') -%}
    {%- set sources = ['crm', 'shop', 'order'] -%}
    {%- if declared | sort != sources | sort -%}
        {{ exceptions.raise_compiler_error(
            "vars: source_trust: " ~ declared | join(', ') ~ " must name each of " ~ sources | join(', ') ~ " once"
        ) }}
    {%- endif -%}
    case {{ source }}
        {%- for name in declared %}
        when '{{ name }}' then {{ declared | length - loop.index0 }}
        {%- endfor %}
    end
{%- endmacro %}

{#- The order in which a rule puts a person's records, the one that decides last. -#}
{% macro survivorship_order(rule, records) -%}
    {%- if rule == 'most_recent' -%}
        {{ records }}.changed_at asc nulls first, {{ records }}.trust asc, {{ records }}.record_id desc
    {%- elif rule == 'most_trusted' -%}
        {{ records }}.trust asc, {{ records }}.changed_at asc nulls first, {{ records }}.record_id desc
    {%- elif rule == 'first_known' -%}
        {{ records }}.created_at desc nulls first, {{ records }}.trust asc, {{ records }}.record_id desc
    {%- endif -%}
{%- endmacro %}

{#- The rank columns of `records` within a person: one for each rule that is declared, and most_recent_rank,
which also says what a source's current id is. -#}
{% macro survivorship_ranks(records, profile_id) -%}
    {%- set others = survivorship_rules().values() | reject('eq', 'most_recent') | unique | list -%}
    {%- for rule in ['most_recent'] + others %}
        row_number() over (
            partition by {{ profile_id }} order by {{ survivorship_order(rule, records) }}
        ) as {{ rule }}_rank{{ ',' if not loop.last }}
    {%- endfor %}
{%- endmacro %}

{#- The rank column that an attribute is decided by: the largest decides. -#}
{% macro survivorship_rank(attribute) -%}
    {{ survivorship_rules()[attribute] }}_rank
{%- endmacro %}

{#- The value of an attribute that survives, in a query over int_profiles__records grouped by profile_id. -#}
{% macro surviving(attribute) -%}
    {{ value_of_largest(attribute, survivorship_rank(attribute)) }}
{%- endmacro %}
