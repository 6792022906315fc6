{#- Hashes that Python computes too (kundresa.spec.keys, kundresa.spec.buckets): same text, same MD5.

MD5 spreads and names, it does not protect. A faster engine hash (DuckDB's hash()) was rejected: it
differs between engines and versions, and a person must stay in the same holdout for years. -#}

{#- 32 hex digits that name one message: run, person, entity, channel and step. -#}
{% macro message_id(run_key, profile_id, entity_id, channel, step) -%}
    {{ return(adapter.dispatch('message_id', 'kundresa')(run_key, profile_id, entity_id, channel, step)) }}
{%- endmacro %}

{% macro default__message_id(run_key, profile_id, entity_id, channel, step) -%}
    md5(concat_ws('|', {{ run_key }}, {{ profile_id }}, {{ entity_id }}, {{ channel }}, '{{ step }}'))
{%- endmacro %}

{#- 0 to 9999, evenly: the first 8 hex digits of md5(salt || '|' || profile_id), modulo 10000. The
remainder favours buckets 0 to 7295 by one in 429,496. Null when the salt is. -#}
{% macro bucket(salt, profile_id) -%}
    {{ return(adapter.dispatch('bucket', 'kundresa')(salt, profile_id)) }}
{%- endmacro %}

{% macro duckdb__bucket(salt, profile_id) -%}
    cast(cast('0x' || substr(md5({{ salt }} || '|' || {{ profile_id }}), 1, 8) as bigint) % 10000 as integer)
{%- endmacro %}

{% macro default__bucket(salt, profile_id) -%}
    cast(cast(conv(substr(md5({{ salt }} || '|' || {{ profile_id }}), 1, 8), 16, 10) as bigint) % 10000 as integer)
{%- endmacro %}

{#- A bigint that differs when any of `columns` does, to notice changes: fast, and this engine's own, so it
is never compared across engines. After an upgrade of the engine that changes it everything looks changed. -#}
{% macro row_hash(columns) -%}
    {{ return(adapter.dispatch('row_hash', 'kundresa')(columns)) }}
{%- endmacro %}

{% macro duckdb__row_hash(columns) -%}
    cast(hash({{ columns | join(', ') }}) >> 1 as bigint)
{%- endmacro %}

{#- xxhash64 skips nulls: (null, 'a') would be ('a', null). -#}
{% macro default__row_hash(columns) -%}
    xxhash64(
        {%- for column in columns %}
        {{ column }}, {{ column }} is null{{ ',' if not loop.last }}
        {%- endfor %}
    )
{%- endmacro %}
