{#- Tables that keep what was: a build replaces the rows that changed and leaves the others alone.

DuckDB (and every engine with delete or merge) writes only the rows that changed. A plain Parquet table on
Spark can only be overwritten whole and not while it is read: there the table is copied aside first, and
the rows that did not change are written again. A model that keeps history has these five parts:

    config(
        materialized='incremental',
        full_refresh=false,
        incremental_strategy=replace_strategy(),
        unique_key=[...],                          the key of one row; never null
        pre_hook="{{ keep_earlier(this) }}",
    )
    ... from {{ earlier(this) }}                   what the table held before this build
    select * from changed {{ kept_rows(this, 'changed', [...]) }} -#}

{#- How changed rows get into the table. -#}
{% macro replace_strategy() -%}
    {{ return(adapter.dispatch('replace_strategy', 'kundresa')()) }}
{%- endmacro %}

{% macro duckdb__replace_strategy() -%}
    {{ return('delete+insert') }}
{%- endmacro %}

{% macro default__replace_strategy() -%}
    {{ return('insert_overwrite') }}
{%- endmacro %}

{#- The column by which an engine without delete replaces whole partitions, for a table whose unique_key is
that column: only the partitions with news are written, and the table may be read meanwhile. -#}
{% macro replaced_partition(column) -%}
    {{ return(adapter.dispatch('replaced_partition', 'kundresa')(column)) }}
{%- endmacro %}

{% macro duckdb__replaced_partition(column) -%}
    {{ return(none) }}
{%- endmacro %}

{% macro default__replaced_partition(column) -%}
    {{ return(column) }}
{%- endmacro %}

{#- Before the model is written: keeps what the engine cannot read while it writes. A copy that is there
already is that of a build which died in between: the table is what it left half-written, the copy is
whole (Spark registers a table when all of it is written), and is built on again. -#}
{% macro keep_earlier(relation) -%}
    {{ return(adapter.dispatch('keep_earlier', 'kundresa')(relation)) }}
{%- endmacro %}

{% macro duckdb__keep_earlier(relation) -%}
{%- endmacro %}

{% macro default__keep_earlier(relation) -%}
    {%- if execute and load_relation(relation) is not none and load_relation(earlier(relation)) is none -%}
        create table {{ earlier(relation) }} using parquet as select * from {{ relation }}
    {%- endif -%}
{%- endmacro %}

{#- After the model is written; dbt_project.yml has it behind every model. -#}
{% macro forget_earlier(relation) -%}
    {{ return(adapter.dispatch('forget_earlier', 'kundresa')(relation)) }}
{%- endmacro %}

{% macro duckdb__forget_earlier(relation) -%}
{%- endmacro %}

{% macro default__forget_earlier(relation) -%}
    {%- if execute and config.get('incremental_strategy') == 'insert_overwrite' and not config.get('partition_by') -%}
        drop table if exists {{ earlier(relation) }}
    {%- endif -%}
{%- endmacro %}

{#- What the table held before this build. -#}
{% macro earlier(relation) -%}
    {{ return(adapter.dispatch('earlier', 'kundresa')(relation)) }}
{%- endmacro %}

{% macro duckdb__earlier(relation) -%}
    {{ return(relation) }}
{%- endmacro %}

{#- In a unit test the table is the rows that the test gives, under a name that is text. -#}
{% macro default__earlier(relation) -%}
    {%- if relation is string -%}
        {{ return(relation) }}
    {%- endif -%}
    {{ return(relation.incorporate(path={'identifier': relation.identifier ~ '__earlier'})) }}
{%- endmacro %}

{#- The names, in lower case, of the columns that the table had before this build; none where it is new, or the rows of a unit
test. -#}
{% macro earlier_columns(relation) -%}
    {%- if not execute or relation is string or not is_incremental() -%}
        {{ return(none) }}
    {%- endif -%}
    {%- set before = load_relation(earlier(relation)) or load_relation(relation) -%}
    {{ return(adapter.get_columns_in_relation(before) | map(attribute='name') | map('lower') | list) }}
{%- endmacro %}

{#- A column of what the table held, named `alias` in the query; null, of the contract's type, where the model
has it and the table had it not. `known` is as of earlier_columns. -#}
{% macro earlier_column(alias, column, known) -%}
    {%- if known is none or column | lower in known -%}
        {{ alias }}.{{ column }}
    {%- else -%}
        cast(null as {{ model.columns[column].data_type }})
    {%- endif -%}
{%- endmacro %}

{#- Behind `select … from changed`: the rows that `changed` does not replace, where the engine overwrites
the whole table. `columns` are those of `changed`, in its order; without, they are the table's, in its own. -#}
{% macro kept_rows(relation, changed, key, columns=none) -%}
    {{ return(adapter.dispatch('kept_rows', 'kundresa')(relation, changed, key, columns)) }}
{%- endmacro %}

{% macro duckdb__kept_rows(relation, changed, key, columns) -%}
{%- endmacro %}

{% macro default__kept_rows(relation, changed, key, columns) -%}
    {%- if is_incremental() and relation is not string %}
        {%- set known = earlier_columns(relation) if columns is not none else none %}
        union all
        select
            {%- for column in columns or [] %}
            {{ earlier_column('kept', column, known) }} as {{ column }}{{ ',' if not loop.last }}
            {%- else %}
            kept.*
            {%- endfor %}
        from {{ earlier(relation) }} as kept
        where
            not exists (
                select 1
                from {{ changed }}
                where
                    {%- for column in key %}
                    {{ changed }}.{{ column }} = kept.{{ column }}
                    {{- ' and' if not loop.last }}
                    {%- endfor %}
            )
    {%- endif %}
{%- endmacro %}
