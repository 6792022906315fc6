{#- What the models of caps and of arbitration share. -#}

{#- What a line has in the competition for a person: the person's own score, held within 0 to 100, where the
campaign names one and the person has it; else the campaign's priority. -#}
{% macro line_priority(runs, scores) -%}
    {#- The null goes first: greatest and least pass over it. -#}
    cast(least(greatest(coalesce(
        {{ score_of(runs ~ '.priority_score', scores) }}, {{ runs }}.priority
    ), 0), 100) as double)
{%- endmacro %}

{#- The columns of `profiles` that a cap may count by. Unit tests see no graph: they give the variable. -#}
{% macro cap_columns() -%}
    {%- set found = [] -%}
    {%- if execute and graph.nodes is defined -%}
        {%- for column in publishable('profiles').columns.values() if column.name != 'profile_id' -%}
            {%- do found.append(column.name) -%}
        {%- endfor -%}
    {%- endif -%}
    {{ return(found or var('cap_columns', [])) }}
{%- endmacro %}

{#- The value, as text, of the column of `profiles` that the expression `name` names; null for none. -#}
{% macro cap_value(name, profiles) -%}
    {%- set columns = cap_columns() -%}
    {%- if columns -%}
        case {{ name }}
            {%- for column in columns %}
            when '{{ column }}' then cast({{ profiles }}.{{ column }} as string)
            {%- endfor %}
        end
    {%- else -%}
        cast(null as string)
    {%- endif -%}
{%- endmacro %}

{#- CTEs, each from the one before (which is named `contention_0`), of one round of arbitration less one: the
last is contention_<rounds>. A line is refused when one of its caps is full of what is accepted already, and
accepted when each would have room even if everything undecided before it were accepted. So every round
settles at least the first undecided line of every slot, and what it says is what one line after the other,
the best first, would come to. Each CTE reads the one before once: Spark copies them. -#}
{% macro contention_rounds(rounds) -%}
    {%- for number in range(1, rounds + 1) %}
    counted_{{ number }} as (
        select
            *,
            earlier_messages + {{ sum_before("case when is_competing and standing = 'accepted' then 1 else 0 end") }}
                as fewest_messages,
            earlier_messages + {{ sum_before("case when is_competing and standing <> 'refused' then 1 else 0 end") }}
                as most_messages
        from contention_{{ number - 1 }}
    ),

    asked_{{ number }} as (
        select
            *,
            max(case when is_asking and fewest_messages >= max_messages then 1 else 0 end)
                over (partition by line_key) as is_refused,
            max(case when is_asking and most_messages >= max_messages then 1 else 0 end)
                over (partition by line_key) as may_be_refused
        from counted_{{ number }}
    ),

    contention_{{ number }} as (
        select
            {{ contention_columns() | join(', ') }},
            case
                when standing <> 'undecided' then standing
                when is_refused = 1 then 'refused'
                when may_be_refused = 0 then 'accepted'
                else standing
            end as standing
        from asked_{{ number }}
    )
    {{- ',' if not loop.last }}
    {% endfor %}
{%- endmacro %}

{#- The columns of int_decisions__contention, but for the standing. -#}
{% macro contention_columns() -%}
    {{ return([
        'slot_number', 'cap', 'line_key', 'run_key', 'max_messages', 'earlier_messages', 'place', 'is_competing',
        'is_asking',
    ]) }}
{%- endmacro %}

{#- A sum over the lines of the slot that go before this one. -#}
{% macro sum_before(expression) -%}
    coalesce(sum({{ expression }}) over (
        partition by slot_number
        order by place
        rows between unbounded preceding and 1 preceding
    ), 0)
{%- endmacro %}

{#- Behind int_decisions__contention: more rounds until every line is settled, on what is still open alone. Each
settles a line of every open slot, so it ends; how many it takes is the longest chain of lines that wait for
each other, which is a handful even with ten campaigns. -#}
{% macro settle_contention(relation) -%}
    {%- if execute and flags.WHICH in ('run', 'build') and undecided_lines(relation) > 0 -%}
        {%- set open = relation.incorporate(path={'identifier': relation.identifier ~ '__open'}, type='table') -%}
        {%- set next = relation.incorporate(path={'identifier': relation.identifier ~ '__next'}, type='table') -%}
        {%- set columns = (contention_columns() + ['standing']) | join(', ') -%}
        {%- do _make_table(open, 'select * from ' ~ relation ~ ' where slot_number in (select slot_number from '
            ~ relation ~ " where standing = 'undecided')") -%}
        {%- do _make_table(next, 'select * from ' ~ relation ~ ' where slot_number not in (select slot_number from '
            ~ open ~ ')') -%}
        {%- do _move_table(next, relation) -%}
        {%- for number in range(undecided_lines(open)) if undecided_lines(open) > 0 -%}
            {%- do _make_table(next, 'with contention_0 as (select * from ' ~ open ~ '), '
                ~ contention_rounds(1) ~ ' select ' ~ columns ~ ' from contention_1') -%}
            {%- do _move_table(next, open) -%}
        {%- endfor -%}
        {%- do run_query('insert into ' ~ relation ~ ' select ' ~ columns ~ ' from ' ~ open) -%}
        {%- do run_query('drop table ' ~ open) -%}
    {%- endif -%}
{%- endmacro %}

{% macro undecided_lines(relation) -%}
    {%- set counted = run_query("select count(*) from " ~ relation ~ " where standing = 'undecided'") -%}
    {{ return(counted.columns[0].values()[0] | int) }}
{%- endmacro %}

{% macro _make_table(relation, query) -%}
    {%- do run_query('drop table if exists ' ~ relation) -%}
    {%- do run_query(create_table_of(relation, query)) -%}
{%- endmacro %}

{% macro _move_table(source, target) -%}
    {#- By the adapter: it keeps in mind which tables there are. -#}
    {%- set table = target.incorporate(type='table') -%}
    {%- do adapter.drop_relation(table) -%}
    {%- do adapter.rename_relation(source, table) -%}
{%- endmacro %}

{#- The earliest message that a rule of an open run asks about, as an SQL literal: a filter by it leaves out whole
files and row groups of the history, which a subquery does not. 1970 where it is not known before the query, as in a
unit test; where no rule asks it is later than any message. -#}
{% macro earliest_asked() -%}
    {%- if execute and flags.WHICH in ('run', 'build') and model.resource_type == 'model' -%}
        {%- set asked = run_query('select min(history_from) from ' ~ ref('stg_operations__runs')) -%}
        {%- set earliest = asked.columns[0].values()[0] -%}
        {{ return("timestamp '" ~ (earliest or '9999-12-31 00:00:00') ~ "'") }}
    {%- endif -%}
    {{ return("timestamp '1970-01-01 00:00:00'") }}
{%- endmacro %}
