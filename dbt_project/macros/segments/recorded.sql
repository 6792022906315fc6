{#- What was recorded of segments of people, as marks. int_segments__recorded_marks keeps them from build to
build, so that comparing costs people and not history. It is a copy, and no build makes it say something else than
segment_memberships does, whichever died in between or built a part only:

- Each row says how far it had read the memberships, by their own instants (`recorded_at`). A membership that was
  written since has its entry or its exit after that, because builds do not go back (refuse_to_go_back), and a build
  that is repeated for its instant forgets the marks before it writes. Whoever reads the marks reads those memberships
  again.
- What is read again is set or taken away for one person and one segment at a time. A membership that is open and
  was begun before is not among those, and neither is anything that would have ended it.
- Each row says which segments its marks are of (`places`). With another list everything is read, and so it is where
  the memberships do not reach the instant of the marks: the table was dropped, or restored from an older copy. Rows
  that somebody takes out of its middle by hand nobody sees; `dbt run --full-refresh` of the marks reads everything.

Measured in DuckDB, a million people in 6 memberships each and a hundred builds that change 2 % of them: comparing with
all memberships takes 0.18 s after the first and 0.53 s after the last, when 13 of 19 million are over; with kept marks 0.11 s
after each. An engine that overwrites whole tables reads everything each time. -#}

{#- The marks that segment_memberships holds before this build: a query of (profile_id, marks_1, …). -#}
{% macro recorded_marks(places) -%}
    {%- set table = kept_marks_table() -%}
    {%- set kept = kept_marks(table, places) if table else none -%}
    {%- if kept and not kept.is_behind -%}
    select
        profile_id,
        {{ for_words(words_of(places), 'marks_{n}') }}
    from {{ table }}
    {%- elif kept -%}
    select
        coalesce(kept.profile_id, changed.profile_id) as profile_id,
        {{ marks_after_changes(places) }}
    from {{ table }} as kept
    full outer join (
        {{ changed_marks_since(kept.since, recorded_memberships(), places) }}
    ) as changed on kept.profile_id = changed.profile_id
    {%- else -%}
    {{ marks_of_memberships(recorded_memberships(), places) }}
    {%- endif -%}
{%- endmacro %}

{#- The same from the memberships alone. -#}
{% macro marks_of_memberships(memberships, places) -%}
    select
        memberships.profile_id,
        {{ for_words(words_of(places), 'bit_or(mark_bits.bit_{n}) as marks_{n}') }}
    from {{ memberships }} as memberships
    inner join ({{ mark_bits(places) }}) as mark_bits on memberships.segment = mark_bits.segment
    where
        memberships.exited_at is null
        and memberships.entity_id = ''
    group by memberships.profile_id
{%- endmacro %}

{#- Of the memberships that were written after an instant: the marks that they speak of, and of those the
ones that are open now. -#}
{% macro changed_marks_since(since, memberships, places) -%}
    select
        memberships.profile_id,
        {{ for_words(words_of(places), 'bit_or(mark_bits.bit_{n}) as named_{n}') }},
        {{ for_words(
            words_of(places),
            'bit_or(case when memberships.exited_at is null then mark_bits.bit_{n} else 0 end) as open_{n}'
        ) }}
    from {{ memberships }} as memberships
    inner join ({{ mark_bits(places) }}) as mark_bits on memberships.segment = mark_bits.segment
    where
        (memberships.entered_at > {{ since }} or memberships.exited_at > {{ since }})
        and memberships.entity_id = ''
    group by memberships.profile_id
{%- endmacro %}

{#- The columns of `kept` marks after what `changed`, both as above and each perhaps null. -#}
{% macro marks_after_changes(places) -%}
    {{ for_words(
        words_of(places),
        '(coalesce(kept.marks_{n}, 0) & ~coalesce(changed.named_{n}, 0)) | coalesce(changed.open_{n}, 0) as marks_{n}'
    ) }}
{%- endmacro %}

{#- Which segments have which place, as one short text. -#}
{% macro places_key(places) -%}
    {{ return(local_md5(places | list | join(','))) }}
{%- endmacro %}

{#- What a table of kept marks is good for: {'since': the instant it had read until, as SQL; 'is_behind': whether a
membership was written after it}; none when it is empty, has marks of other segments, or of
other memberships. -#}
{% macro kept_marks(table, places) -%}
    {%- if not execute -%}
        {{ return(none) }}
    {%- endif -%}
    {%- set marks_question -%}
        select
            min(places) = {{ literal(places_key(places)) }} and max(places) = {{ literal(places_key(places)) }} as is_same,
            max(recorded_at) as since
        from {{ table }}
    {%- endset -%}
    {%- set marks = run_query(marks_question).rows[0] -%}
    {%- if not marks[0] or marks[1] is none -%}
        {{ return(none) }}
    {%- endif -%}
    {%- set since = 'cast(' ~ literal(marks[1] | string) ~ ' as timestamp)' -%}
    {#- Memberships that end before the marks do were replaced by others: dropped, or restored from a copy. -#}
    {%- set memberships_question -%}
        select
            count(case when entered_at > {{ since }} or exited_at > {{ since }} then 1 end) > 0 as is_behind,
            max(entered_at) >= {{ since }} or max(exited_at) >= {{ since }} as is_reached
        from {{ recorded_memberships() }} as memberships
    {%- endset -%}
    {%- set memberships = run_query(memberships_question).rows[0] -%}
    {%- if not memberships[1] -%}
        {{ return(none) }}
    {%- endif -%}
    {{ return({'since': since, 'is_behind': memberships[0]}) }}
{%- endmacro %}

{#- Before memberships are written: a build of the instant that the marks had read until replaces what they read. -#}
{% macro forget_marks_of_this_instant() -%}
    {%- set table = kept_marks_table() -%}
    {%- if execute and table -%}
        delete from {{ table }}
        where (select max(recorded_at) from {{ table }}) >= {{ as_of() }}
    {%- endif -%}
{%- endmacro %}

{#- Before the marks are written: without those of other segments, which no row of this build would replace. -#}
{% macro forget_other_places(table) -%}
    {%- if execute and config.get('materialized') == 'incremental' and load_relation(table) is not none
        and kept_marks(table, mark_places(people_segments(all_segments()))) is none -%}
        delete from {{ table }}
    {%- endif -%}
{%- endmacro %}

{% macro recorded_marks_materialization() -%}
    {{ return(adapter.dispatch('recorded_marks_materialization', 'kundresa')()) }}
{%- endmacro %}

{% macro duckdb__recorded_marks_materialization() -%}
    {{ return('incremental') }}
{%- endmacro %}

{% macro default__recorded_marks_materialization() -%}
    {{ return('view') }}
{%- endmacro %}

{#- The table of int_segments__recorded_marks, or none. -#}
{% macro kept_marks_table() -%}
    {{ return(adapter.dispatch('kept_marks_table', 'kundresa')()) }}
{%- endmacro %}

{% macro duckdb__kept_marks_table() -%}
    {{ return(recorded_table('int_segments__recorded_marks')) }}
{%- endmacro %}

{% macro default__kept_marks_table() -%}
    {{ return(none) }}
{%- endmacro %}
