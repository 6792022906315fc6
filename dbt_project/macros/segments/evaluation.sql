{#- How declared segments are evaluated: all in one pass over profiles, into marks.

A mark is one bit of a bigint; 60 segments share a column. Measured in DuckDB on two cores, 100 conditions of
four terms over 1 M profiles with 11 segments each: as bits 0.7 s and 32 MB, as 100 boolean columns 1.9 s and
55 MB, as rows of (segment, profile_id) 1.6 s and 350 MB. To find what differs from what is recorded takes 1.6 s by bits
and 3.8 s by rows. Which bit a segment has is decided by each build anew; what is kept says whose its bits are
(recorded.sql). -#}

{#- Name → where its mark is: the number of its column, from 1, and its bit. -#}
{% macro mark_places(names) -%}
    {%- set places = {} -%}
    {%- for name in names -%}
        {%- do places.update({name: {'word': loop.index0 // 60 + 1, 'bit': 2 ** (loop.index0 % 60)}}) -%}
    {%- endfor -%}
    {{ return(places) }}
{%- endmacro %}

{#- The names of the segments whose members are people, which have a mark. `segments` is what all_segments
gives, here and below: reading the list again for each of a hundred would take seconds. -#}
{% macro people_segments(segments) -%}
    {{ return(segments.values() | selectattr('entity', 'equalto', 'person') | map(attribute='name') | sort) }}
{%- endmacro %}

{% macro entity_segments(segments) -%}
    {{ return(segments.values() | rejectattr('entity', 'equalto', 'person') | map(attribute='name') | sort) }}
{%- endmacro %}

{#- What the members of a segment are, by the column with its name, as SQL. -#}
{% macro entity_of_segment(column) -%}
    {%- set cases = [] -%}
    {%- for segment in all_segments().values() if segment.entity != 'person' -%}
        {%- do cases.append("when '" ~ segment.name ~ "' then '" ~ segment.entity ~ "'") -%}
    {%- endfor -%}
    {{ 'case ' ~ column ~ ' ' ~ cases | join(' ') ~ " else 'person' end" if cases else "'person'" }}
{%- endmacro %}

{#- The segments that a row of profiles alone does not tell: those with a file of their own, and tops. -#}
{% macro given_segments(segments) -%}
    {%- set names = [] -%}
    {%- for segment in segments.values() -%}
        {%- if segment.top or (segment.is_sql and segment.entity == 'person') -%}
            {%- do names.append(segment.name) -%}
        {%- endif -%}
        {%- for other in segment.reads if segments[other].entity != 'person' -%}
            {%- do names.append(other) -%}
        {%- endfor -%}
    {%- endfor -%}
    {{ return(names | unique | sort) }}
{%- endmacro %}

{#- How many columns of marks so many segments take; one at least, so that the tables always have it. -#}
{% macro words_of(names) -%}
    {{ return([(names | length + 59) // 60, 1] | max) }}
{%- endmacro %}

{#- A text once for each column of marks, `{n}` being its number. -#}
{% macro for_words(words, text, between=', ') -%}
    {%- set texts = [] -%}
    {%- for word in range(1, words + 1) -%}
        {%- do texts.append(text | replace('{n}', word)) -%}
    {%- endfor -%}
    {{ texts | join(between) }}
{%- endmacro %}

{#- A text once for each segment, `{name}` being its name, `{marks}` and `{recorded}` whether its mark is set in
columns of these names. -#}
{% macro for_segments(places, text) -%}
    {%- set texts = [] -%}
    {%- for name, place in places.items() -%}
        {%- do texts.append(
            text | replace('{name}', name)
            | replace('{marks}', is_marked('marks', place)) | replace('{recorded}', is_marked('recorded', place))
        ) -%}
    {%- endfor -%}
    {{ texts | join(',\n        ') }}
{%- endmacro %}

{#- The marks of the given segments, grouped by person. -#}
{% macro given_columns(given) -%}
    {%- for word in range(1, words_of(given) + 1) -%}
        {%- set cases = [] -%}
        {%- for name, place in given.items() if place.word == word -%}
            {%- do cases.append("when '" ~ name ~ "' then " ~ place.bit) -%}
        {%- endfor -%}
        bit_or(cast({{ 'case segment ' ~ cases | join(' ') ~ ' else 0 end' if cases else 0 }} as bigint)) as given_{{ word }}
        {{- ', ' if not loop.last }}
    {%- endfor -%}
{%- endmacro %}

{#- One boolean column per segment of people, each with a comma behind it. -#}
{% macro evaluated_columns(segments, given) -%}
    {%- for name in people_segments(segments) %}
        {{ is_marked('given', given[name]) if name in given else segment_condition(segments, name, given) }} as in_{{ name }},
    {%- endfor -%}
{%- endmacro %}

{#- The columns in_<segment> of several segments, as `unpivot` lists them; it gives their names as values, of
which substr(…, 4) is the segment's. -#}
{% macro segment_columns(names) -%}
    {%- for name in names -%}
        in_{{ name }}{{ ', ' if not loop.last }}
    {%- endfor -%}
{%- endmacro %}

{#- Whether a mark is set, as SQL. -#}
{% macro is_marked(column, place) -%}
    ({{ column }}_{{ place.word }} & {{ place.bit }}) <> 0
{%- endmacro %}

{#- The column of marks `word` from one boolean column per segment; `places` as of mark_places. -#}
{% macro marks_column(places, word) -%}
    {%- set terms = [] -%}
    {%- for name, place in places.items() if place.word == word -%}
        {%- do terms.append('case when in_' ~ name ~ ' then ' ~ place.bit ~ ' else 0 end') -%}
    {%- endfor -%}
    cast({{ terms | join('\n            + ') or '0' }} as bigint)
{%- endmacro %}

{#- All of them. -#}
{% macro marks_columns(places) -%}
    {%- for word in range(1, words_of(places) + 1) -%}
        {{ marks_column(places, word) }} as marks_{{ word }}{{ ', ' if not loop.last }}
    {%- endfor -%}
{%- endmacro %}

{#- Which bit each segment has, as rows of (segment, bit_1, …). -#}
{% macro mark_bits(places) -%}
    {%- for name, place in places.items() %}
    select
        '{{ name }}' as segment
        {%- for word in range(1, words_of(places) + 1) %},
        cast({{ place.bit if place.word == word else 0 }} as bigint) as bit_{{ word }}
        {%- endfor %}
    {{- ' union all' if not loop.last }}
    {%- else %}
    select
        cast(null as string) as segment,
        cast(0 as bigint) as bit_1
    where false
    {%- endfor %}
{%- endmacro %}

{#- A declared segment's condition on one row of profiles, as SQL; false where a value it asks for is null.
With `given`, the places of given_segments, other segments are asked by their marks; without, by subqueries,
which stand only where an engine allows them, in a `where`. -#}
{% macro segment_condition(segments, name, given=none) -%}
    {%- set segment = segments[name] -%}
    {%- set terms = [] -%}
    {%- if segment.where -%}
        {%- do terms.append('coalesce((' ~ render(segment.where) ~ '), false)') -%}
    {%- endif -%}
    {%- for other in segment.all_of -%}
        {%- do terms.append(is_in_segment(segments, other, given)) -%}
    {%- endfor -%}
    {%- if segment.any_of -%}
        {%- set choices = [] -%}
        {%- for other in segment.any_of -%}
            {%- do choices.append(is_in_segment(segments, other, given)) -%}
        {%- endfor -%}
        {%- do terms.append('(' ~ choices | join(' or ') ~ ')') -%}
    {%- endif -%}
    {%- for other in segment.none_of -%}
        {%- do terms.append('not ' ~ is_in_segment(segments, other, given)) -%}
    {%- endfor -%}
    {%- set condition = terms | join(' and ') -%}
    {%- if segment.sample -%}
        {#- `case` and not `and`: the hash is computed only for who passes the rest. -#}
        {%- set condition = 'case when ' ~ condition ~ ' then ' ~ in_buckets('profile_id', segment.sample) ~ ' else false end' -%}
    {%- endif -%}
    {{ return(condition) }}
{%- endmacro %}

{% macro is_in_segment(segments, name, given=none) -%}
    {%- if given is not none and name in given -%}
        {{ return('(' ~ is_marked('given', given[name]) ~ ')') }}
    {%- elif segments[name].is_sql or segments[name].top -%}
        {{ return(
            'profile_id in (select members.profile_id from ' ~ segment_relation(segments, name)
            ~ ' as members where members.profile_id is not null)'
        ) }}
    {%- else -%}
        {{ return('(' ~ segment_condition(segments, name, given) ~ ')') }}
    {%- endif -%}
{%- endmacro %}

{#- Whether the person's bucket is in a sample's range; `sample` as of checked_sample. -#}
{% macro in_buckets(profile_id, sample) -%}
    {%- set drawn = bucket(literal('sample|' ~ sample.salt), profile_id) -%}
    {{ return('(' ~ drawn ~ ' >= ' ~ sample['from'] ~ ' and ' ~ drawn ~ ' < ' ~ sample.to ~ ')') }}
{%- endmacro %}

{#- A segment's members, as a relation. -#}
{% macro segment_relation(segments, name) -%}
    {%- set segment = segments[name] -%}
    {%- if segment.is_sql -%}
        {{ return(ref(name) | string) }}
    {%- elif segment.top -%}
        {{ return(top_relation(ref('profiles'), segment_condition(segments, name), segment.top)) }}
    {%- else -%}
        {{ return('(select profile_id from ' ~ ref('profiles') ~ ' where ' ~ segment_condition(segments, name) ~ ')') }}
    {%- endif -%}
{%- endmacro %}

{#- The first n by a column; who has none is not among them, a tie goes to the smaller profile_id. -#}
{% macro top_relation(profiles, condition, top) -%}
    {{ return(
        '(select profile_id from ' ~ profiles ~ ' where ' ~ condition ~ ' and (' ~ top.by ~ ') is not null'
        ~ ' order by (' ~ top.by ~ ') ' ~ top.order ~ ', profile_id asc limit ' ~ top.n ~ ')'
    ) }}
{%- endmacro %}
