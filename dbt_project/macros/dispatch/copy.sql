{#- Writing a query's rows as Parquet, for readers that know no engine. Spark writes a folder of the name
that DuckDB gives to a file; `kundresa.warehouse.files.settle` makes both look alike. Values are the same
bytes in both: zstd, timestamps without a zone. -#}

{#- Write a query's rows to the Parquet file `path`, sorted by `order_by` (none: in any order). 122,880 rows
(DuckDB's own vector multiple) make a row group: smaller ones prune better and cost more to open.
`is_one_file` is for files that are found by their name; a server engine writes others with all its cores. -#}
{% macro copy_to_parquet(query, path, order_by=none, is_one_file=true) -%}
    {{ return(adapter.dispatch('copy_to_parquet', 'kundresa')(query, path, order_by, is_one_file)) }}
{%- endmacro %}

{% macro duckdb__copy_to_parquet(query, path, order_by, is_one_file) -%}
    copy ({{ query }}{{ ' order by ' ~ order_by if order_by }}) to {{ literal(path) }}
    (format parquet, compression zstd, row_group_size 122880)
{%- endmacro %}

{% macro default__copy_to_parquet(query, path, order_by, is_one_file) -%}
    insert overwrite directory {{ literal(path) }}
    using parquet options ('compression' = 'zstd', 'parquet.block.row.count.limit' = '122880')
    select {{ '/*+ repartition(1) */' if is_one_file }} * from ({{ query }}) as copied
    {{ 'order by ' ~ order_by if order_by }}
{%- endmacro %}

{#- Write a query's rows under path/channel=<c>/batch_number=<n>/, in each in the order of `order_by`: a
reader resumes at a row number. -#}
{% macro copy_to_batches(query, path, order_by) -%}
    {{ return(adapter.dispatch('copy_to_batches', 'kundresa')(query, path, order_by)) }}
{%- endmacro %}

{#- DuckDB keeps the order in a partitioned write only with one thread (200,000 rows with 16 columns of
profile take about a second). -#}
{% macro duckdb__copy_to_batches(query, path, order_by) -%}
    {% do run_query('set threads = 1') %}
    {% do run_query(
        'copy (' ~ query ~ ' order by channel, batch_number, ' ~ order_by ~ ') to ' ~ literal(path)
        ~ ' (format parquet, compression zstd, row_group_size 2048, '
        ~ 'partition_by (channel, batch_number), write_partition_columns true, overwrite_or_ignore true)'
    ) %}
    {% do run_query('reset threads') %}
{%- endmacro %}

{#- Through a table that is dropped again, which leaves its files: Spark writes partitions only to tables.
`distribute by` gives a batch to one task, so that it is one file. The partition columns are in the paths
only; `kundresa.warehouse.read_batch` puts them back. -#}
{% macro default__copy_to_batches(query, path, order_by) -%}
    {% set relation = api.Relation.create(schema=target.schema, identifier='batches_being_published') %}
    {% do adapter.create_schema(relation) %}
    {% do run_query('drop table if exists ' ~ relation) %}
    {% do run_query(
        'create table ' ~ relation ~ ' using parquet'
        ~ " options ('compression' = 'zstd', 'parquet.block.row.count.limit' = '2048')"
        ~ ' partitioned by (channel, batch_number) location ' ~ literal(path)
        ~ ' as select * from (' ~ query ~ ') as copied'
        ~ ' distribute by channel, batch_number sort by channel, batch_number, ' ~ order_by
    ) %}
    {% do run_query('drop table ' ~ relation) %}
{%- endmacro %}

{#- Stands behind `select` in a model that appends: Spark then writes one file, which appears whole or not
at all. Several would appear one by one, and a crash between two would leave half of a run. -#}
{% macro in_one_file() -%}
    {{ return(adapter.dispatch('in_one_file', 'kundresa')()) }}
{%- endmacro %}

{% macro duckdb__in_one_file() -%}
{%- endmacro %}

{% macro default__in_one_file() -%}
    /*+ repartition(1) */
{%- endmacro %}

{#- The rows of Parquet files, for a `from`; `pattern` is a glob. -#}
{% macro parquet_files(pattern) -%}
    {{ return(adapter.dispatch('parquet_files', 'kundresa')(pattern)) }}
{%- endmacro %}

{% macro duckdb__parquet_files(pattern) -%}
    read_parquet({{ literal(pattern) }}, hive_partitioning = false)
{%- endmacro %}

{% macro default__parquet_files(pattern) -%}
    parquet.`{{ pattern | replace('`', '``') }}`
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

{% macro default__struct_of(alias, columns) -%}
    named_struct(
        {%- for column in columns %}'{{ column }}', {{ alias }}.{{ column }}{{ ', ' if not loop.last }}{% endfor -%}
    )
{%- endmacro %}

{#- A statement that writes a query's rows into a new table, for macros that need one beside their model's. -#}
{% macro create_table_of(relation, query) -%}
    {{ return(adapter.dispatch('create_table_of', 'kundresa')(relation, query)) }}
{%- endmacro %}

{% macro duckdb__create_table_of(relation, query) -%}
    create table {{ relation }} as {{ query }}
{%- endmacro %}

{% macro default__create_table_of(relation, query) -%}
    create table {{ relation }} using parquet as {{ query }}
{%- endmacro %}
