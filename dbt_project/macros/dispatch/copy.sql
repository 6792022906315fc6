{#- The statement that writes a query's rows to one Parquet file. 122,880 rows (DuckDB's own vector
multiple) make a row group: smaller ones prune better and cost more to open. -#}
{% macro copy_to_parquet(query, path) -%}
    {{ return(adapter.dispatch('copy_to_parquet', 'kundresa')(query, path)) }}
{%- endmacro %}

{% macro duckdb__copy_to_parquet(query, path) -%}
    copy ({{ query }}) to {{ literal(path) }} (format parquet, compression zstd, row_group_size 122880)
{%- endmacro %}

{#- Write a query's rows under path/channel=<c>/batch_number=<n>/. A reader resumes at a row number, so
the order inside a batch is the query's: DuckDB keeps it in a partitioned write only with one thread
(200,000 rows with 16 columns of profile take about a second). -#}
{% macro copy_to_batches(query, path) -%}
    {{ return(adapter.dispatch('copy_to_batches', 'kundresa')(query, path)) }}
{%- endmacro %}

{% macro duckdb__copy_to_batches(query, path) -%}
    {% do run_query('set threads = 1') %}
    {% do run_query(
        'copy (' ~ query ~ ') to ' ~ literal(path) ~ ' (format parquet, compression zstd, row_group_size 2048, '
        ~ 'partition_by (channel, batch_number), write_partition_columns true, overwrite_or_ignore true)'
    ) %}
    {% do run_query('reset threads') %}
{%- endmacro %}

{#- One struct of a relation's columns, in their order. -#}
{% macro struct_of(alias, columns) -%}
    {{ return(adapter.dispatch('struct_of', 'kundresa')(alias, columns)) }}
{%- endmacro %}

{% macro duckdb__struct_of(alias, columns) -%}
    struct_pack(
        {%- for column in columns %}{{ column }} := {{ alias }}.{{ column }}{{ ', ' if not loop.last }}{% endfor -%}
    )
{%- endmacro %}
