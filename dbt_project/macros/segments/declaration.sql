{#- The list of segments, as the variable `segments` in dbt_project.yml declares them, checked and ordered by
name. Every other macro about segments reads it through here; the keys are explained in
models/segments/README.md. A list that is wrong is a compile error that names the segment. -#}
{% macro all_segments() -%}
    {%- set found = {} -%}
    {%- set listed = var('segments') -%}
    {%- if listed is not mapping -%}
        {{ refuse_segments("vars: segments: must be a mapping, one name per segment") }}
    {%- endif -%}
    {%- for name, given in listed | dictsort -%}
        {%- if not modules.re.fullmatch('[a-z][a-z0-9_]{0,62}', name | string) -%}
            {{ refuse_segment(name, "a name is lower case letters, digits and _, at most 63, a letter first") }}
        {%- elif modules.re.match('(int_segments__|segment_)', name) -%}
            {{ refuse_segment(name, "names that begin with segment_ or int_segments__ are those of the tables") }}
        {%- elif given is not mapping -%}
            {{ refuse_segment(name, "must be a mapping, for example {where: \"total_spend >= 1000\", description: …}") }}
        {%- endif -%}
        {%- do found.update({name: checked_segment(name, given)}) -%}
    {%- endfor -%}
    {%- for segment in found.values() -%}
        {%- do refuse_circles(segment.name, found, []) -%}
    {%- endfor -%}
    {{ return(found) }}
{%- endmacro %}

{#- One segment with every key that it may have; `reads` are the segments that it names. -#}
{% macro checked_segment(name, given) -%}
    {%- set is_sql = 'sql' in given -%}
    {%- set known = ['description', 'bounds', 'sources'] + (
        ['sql', 'entity'] if is_sql else ['where', 'all_of', 'any_of', 'none_of', 'sample', 'top']
    ) -%}
    {%- for key in given if key not in known -%}
        {{ refuse_segment(
            name,
            "there is no key '" ~ key ~ "' " ~ ("beside sql: true" if is_sql else "in a declared segment")
            ~ "; there are " ~ known | join(', ')
        ) }}
    {%- endfor -%}
    {%- if is_sql and given.sql is not sameas true -%}
        {{ refuse_segment(name, "sql: is true, or the segment is declared here") }}
    {%- elif not is_sql and not (given.where or given.all_of or given.any_of) -%}
        {{ refuse_segment(name, "says of nobody that they are in it: give it where, all_of or any_of, or sql: true") }}
    {%- elif not is_sql and not (given.description or '') | trim -%}
        {{ refuse_segment(name, "has no description; whoever sends to it will ask") }}
    {%- endif -%}
    {%- for key in ['all_of', 'any_of', 'none_of', 'sources'] if key in given -%}
        {%- if given[key] is string or given[key] is not sequence or given[key] is mapping or not given[key] -%}
            {{ refuse_segment(name, key ~ ": must be a list of names") }}
        {%- endif -%}
    {%- endfor -%}
    {%- if given.where is defined and given.where is not string -%}
        {{ refuse_segment(name, "where: must be a condition over the columns of profiles, in quotes") }}
    {%- elif given.entity is defined and not modules.re.fullmatch('[a-z][a-z0-9_]*', given.entity | string) -%}
        {{ refuse_segment(name, "entity: must be a name, for example order") }}
    {%- endif -%}
    {{ return({
        'name': name,
        'is_sql': is_sql,
        'entity': given.entity or 'person',
        'description': given.description or '',
        'where': given.where or '',
        'all_of': given.all_of or [],
        'any_of': given.any_of or [],
        'none_of': given.none_of or [],
        'reads': (given.all_of or []) + (given.any_of or []) + (given.none_of or []),
        'sources': given.sources or [],
        'sample': checked_sample(name, given.sample) if 'sample' in given else none,
        'top': checked_top(name, given.top) if 'top' in given else none,
        'bounds': checked_bounds(name, given.bounds if 'bounds' in given else {}),
    }) }}
{%- endmacro %}

{#- A sample as the two ends of its range, in hundredths of a percent, and its salt. -#}
{% macro checked_sample(name, given) -%}
    {%- set keys = given | list | sort if given is mapping else [] -%}
    {%- if keys not in [['percent'], ['percent', 'salt'], ['between'], ['between', 'salt']] -%}
        {{ refuse_segment(name, "sample: has percent or between, and may have salt") }}
    {%- endif -%}
    {%- set ends = given.between if 'between' in given else [0, given.percent] -%}
    {%- if ends is string or ends is mapping or ends is not sequence or ends | length != 2
        or ends[0] is not number or ends[1] is not number or not 0 <= ends[0] < ends[1] <= 100 -%}
        {{ refuse_segment(name, "sample: percent is above 0 and at most 100; between is two of them, the smaller first") }}
    {%- endif -%}
    {{ return({
        'from': (ends[0] * 100) | round | int,
        'to': (ends[1] * 100) | round | int,
        'salt': given.salt if 'salt' in given else name,
    }) }}
{%- endmacro %}

{% macro checked_top(name, given) -%}
    {%- set keys = given | list | sort if given is mapping else [] -%}
    {%- if keys not in [['by', 'n'], ['by', 'n', 'order']] or given.by is not string
        or given.n is not integer or given.n < 1 or (given.order or 'desc') not in ['asc', 'desc'] -%}
        {{ refuse_segment(name, "top: has by (a column of profiles), n (1 or more) and may have order (desc or asc)") }}
    {%- endif -%}
    {{ return({'by': given.by, 'n': given.n, 'order': given.order or 'desc'}) }}
{%- endmacro %}

{#- The defaults of the variable `segment_bounds`, with the segment's own over them. -#}
{% macro checked_bounds(name, given) -%}
    {%- set bounds = {'min': none, 'max': none, 'max_change_percent': none, 'free_change': none} -%}
    {%- set known = bounds | list -%}
    {%- for part in [var('segment_bounds'), given] -%}
        {%- if part is not mapping -%}
            {{ refuse_segment(name, "bounds: must be a mapping of " ~ known | join(', ')) }}
        {%- endif -%}
        {%- for key, value in part.items() -%}
            {%- if key not in known or not (value is none or (value is number and value >= 0)) -%}
                {{ refuse_segment(name, "bounds: are " ~ known | join(', ') ~ ", each a number or null") }}
            {%- endif -%}
            {%- do bounds.update({key: value}) -%}
        {%- endfor -%}
    {%- endfor -%}
    {{ return(bounds) }}
{%- endmacro %}

{#- Fails when a segment names one that is not there, or comes back to itself. -#}
{% macro refuse_circles(name, segments, path) -%}
    {%- if name in path -%}
        {{ refuse_segments(
            "segment " ~ name ~ " refers to itself: " ~ (path[path.index(name):] + [name]) | join(' → ')
        ) }}
    {%- endif -%}
    {%- for other in segments[name].reads -%}
        {%- if other not in segments -%}
            {{ refuse_segment(name, "there is no segment '" ~ other ~ "'; there are " ~ segments | sort | join(', ')) }}
        {%- endif -%}
        {%- do refuse_circles(other, segments, path + [name]) -%}
    {%- endfor -%}
{%- endmacro %}

{% macro refuse_segment(name, reason) -%}
    {{ refuse_segments("segment " ~ name ~ ": " ~ reason) }}
{%- endmacro %}

{% macro refuse_segments(reason) -%}
    {{ exceptions.raise_compiler_error(reason ~ " (vars: segments: in dbt_project.yml)") }}
{%- endmacro %}

{#- The segments that this build takes into use although they are out of their bounds. -#}
{% macro accepted_segments(segments) -%}
    {%- set accepted = var('accepted_segments', []) -%}
    {%- set names = [accepted] if accepted is string else accepted | list -%}
    {%- for name in names if name not in segments -%}
        {{ refuse_segments("there is no segment '" ~ name ~ "' to accept; there are " ~ segments | sort | join(', ')) }}
    {%- endfor -%}
    {{ return(names) }}
{%- endmacro %}

{#- Fails the build when the list and the folder models/segments disagree: a file that is forgotten in the
list would stay without members, unnoticed. (A listed one without a file is dbt's own error.) -#}
{% macro refuse_unlisted_segments() -%}
    {%- if execute -%}
        {%- set segments = all_segments() -%}
        {%- for node in graph.get('nodes', {}).values() | sort(attribute='name') -%}
            {%- if node.resource_type == 'model' and 'segments' in node.fqn[1:-1]
                and not modules.re.match('(int_segments__|segment_)', node.name)
                and not segments.get(node.name, {}).is_sql -%}
                {{ refuse_segments(
                    "models/segments/" ~ node.name ~ ".sql is no segment yet: add `" ~ node.name ~ ": {sql: true}`"
                ) }}
            {%- endif -%}
        {%- endfor -%}
    {%- endif -%}
{%- endmacro %}
