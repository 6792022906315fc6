{#- What segments are made from, by lineage: known only when dbt runs, so these give nothing while it parses. -#}

{#- Pairs of segment and source table (as source.table) with a meta.time_column. -#}
{% macro segment_sources(segments) -%}
    {%- set pairs = [] -%}
    {%- if execute -%}
        {%- set own = {} -%}
        {%- for segment in segments.values() -%}
            {%- if segment.sources -%}
                {%- set found = checked_sources(segment.sources, 'segment ' ~ segment.name ~ ': sources') -%}
            {%- else -%}
                {%- set found = sources_of_sql(segment) if segment.is_sql else sources_of_columns(segment) -%}
            {%- endif -%}
            {%- do own.update({segment.name: found}) -%}
        {%- endfor -%}
        {%- set reads = segment_reads(segments) -%}
        {%- for name in segments -%}
            {%- set found = own[name] | list -%}
            {%- for pair in reads if pair[0] == name -%}
                {%- do found.extend(own[pair[1]]) -%}
            {%- endfor -%}
            {%- for source_name in found | unique | sort -%}
                {%- do pairs.append([name, source_name]) -%}
            {%- endfor -%}
        {%- endfor -%}
    {%- endif -%}
    {{ return(pairs) }}
{%- endmacro %}

{#- Of a segment with a file: all sources above it, unless the list names those that matter. -#}
{% macro sources_of_sql(segment) -%}
    {%- set found = [] -%}
    {%- for node in graph.nodes.values()
        if node.resource_type == 'model' and node.name == segment.name and 'segments' in node.fqn -%}
        {%- do collect_sources(node, found, []) -%}
    {%- endfor -%}
    {{ return(found) }}
{%- endmacro %}

{#- Of a declared one: those of the columns of profiles that it names. -#}
{% macro sources_of_columns(segment) -%}
    {%- set found = [] -%}
    {%- set text = segment.where ~ ' ' ~ (segment.top.by if segment.top else '') -%}
    {%- for node in graph.nodes.values() if node.resource_type == 'model' and node.name == 'profiles' -%}
        {%- for column in node.columns.values() if modules.re.search('\\b' ~ column.name ~ '\\b', text) -%}
            {%- set meta = column.config.meta or column.meta or {} -%}
            {%- if 'sources' in meta -%}
                {%- do found.extend(checked_sources(meta.sources, 'profiles.' ~ column.name ~ ': meta.sources')) -%}
            {%- else -%}
                {%- do collect_sources(node, found, []) -%}
            {%- endif -%}
        {%- endfor -%}
    {%- endfor -%}
    {{ return(found | unique | list) }}
{%- endmacro %}

{#- The names, when each is a source that says when its rows happened. -#}
{% macro checked_sources(names, where_named) -%}
    {%- for name in names if source_node(name) is none -%}
        {{ exceptions.raise_compiler_error(where_named ~ " names " ~ name ~ ", which is no source with a meta.time_column") }}
    {%- endfor -%}
    {{ return(names) }}
{%- endmacro %}

{#- Appends the sources above a node to `found`, each once. -#}
{% macro collect_sources(node, found, seen) -%}
    {%- for parent in node.depends_on.nodes if parent not in seen -%}
        {%- do seen.append(parent) -%}
        {%- if parent in graph.sources -%}
            {%- set name = graph.sources[parent].source_name ~ '.' ~ graph.sources[parent].name -%}
            {%- if source_node(name) is not none and name not in found -%}
                {%- do found.append(name) -%}
            {%- endif -%}
        {%- elif graph.nodes[parent].resource_type == 'model' -%}
            {%- do collect_sources(graph.nodes[parent], found, seen) -%}
        {%- endif -%}
    {%- endfor -%}
{%- endmacro %}

{#- The definition of a source table with a meta.time_column, by source.table; else none. -#}
{% macro source_node(source_name) -%}
    {%- for node in graph.sources.values() -%}
        {%- if node.source_name ~ '.' ~ node.name == source_name and (node.config.meta or node.meta).get('time_column') -%}
            {{ return(node) }}
        {%- endif -%}
    {%- endfor -%}
    {{ return(none) }}
{%- endmacro %}
