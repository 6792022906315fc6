{#- What an SQL segment may use. All give a relation or a condition, to be named with `as`; the page "Add a
segment in five minutes" (models/segments/README.md) has an example of each. -#}

{#- The members of another segment: a relation with profile_id (and entity_id, for a segment of entities). -#}
{% macro segment(name) -%}
    {%- set segments = all_segments() -%}
    {%- do note_read(segments, name) -%}
    {{ return(segment_relation(segments, name)) }}
{%- endmacro %}

{#- Set operations: people in all of `all_of`, in one of `any_of`, in none of `none_of`. Each person once. -#}
{% macro members_of(all_of=[], any_of=[], none_of=[]) -%}
    {%- if not all_of and not any_of -%}
        {{ exceptions.raise_compiler_error("members_of: give it all_of or any_of") }}
    {%- endif -%}
    {%- set segments = all_segments() -%}
    {%- set terms = [] -%}
    {%- for name in all_of + any_of + none_of -%}
        {%- do note_read(segments, name) -%}
    {%- endfor -%}
    {%- for name in all_of -%}
        {%- do terms.append(is_in_segment(segments, name)) -%}
    {%- endfor -%}
    {%- if any_of -%}
        {%- set choices = [] -%}
        {%- for name in any_of -%}
            {%- do choices.append(is_in_segment(segments, name)) -%}
        {%- endfor -%}
        {%- do terms.append('(' ~ choices | join(' or ') ~ ')') -%}
    {%- endif -%}
    {%- for name in none_of -%}
        {%- do terms.append('not ' ~ is_in_segment(segments, name)) -%}
    {%- endfor -%}
    {{ return('(select profile_id from ' ~ ref('profiles') ~ ' where ' ~ terms | join(' and ') ~ ')') }}
{%- endmacro %}

{#- Whether a person is in a random share of everybody, the same one for ever: a condition. Two ranges of one
salt that do not overlap have nobody in common: between=[0, 30] and between=[30, 100] split everybody. -#}
{% macro in_sample(salt, percent=none, between=none, profile_id='profile_id') -%}
    {%- set given = {'salt': salt} -%}
    {%- do given.update({'percent': percent} if between is none else {'between': between}) -%}
    {{ return(in_buckets(profile_id, checked_sample(model.name, given))) }}
{%- endmacro %}

{#- The first n members of a relation by a column of profiles. -#}
{% macro top_of(relation, by, n, order='desc') -%}
    {%- set condition = 'profile_id in (select members.profile_id from ' ~ relation ~ ' as members)' -%}
    {{ return(top_relation(ref('profiles'), condition, checked_top(model.name, {'by': by, 'n': n, 'order': order}))) }}
{%- endmacro %}

{#- Notes in this model that it reads a segment, which the expanded SQL does not tell: when that one is held,
this one is too. Fails when the other is not there, or reads this one in turn. -#}
{% macro note_read(segments, name) -%}
    {%- if name not in segments -%}
        {{ refuse_segment(model.name, "there is no segment '" ~ name ~ "'; there are " ~ segments | sort | join(', ')) }}
    {%- endif -%}
    {%- do refuse_way_back(segments, name, [model.name]) -%}
    {%- do config(meta={'reads segment ' ~ name: true}) -%}
{%- endmacro %}

{#- dbt finds circles between files; one that goes through a declared segment is not between files. -#}
{% macro refuse_way_back(segments, name, path) -%}
    {%- if name == path[0] -%}
        {{ refuse_segments("segment " ~ name ~ " refers to itself: " ~ (path + [name]) | join(' → ')) }}
    {%- endif -%}
    {%- for other in segments[name].reads -%}
        {%- do refuse_way_back(segments, other, path + [name]) -%}
    {%- endfor -%}
{%- endmacro %}
