with

record_identifiers as (
    select * from {{ ref('int_identity__record_identifiers') }}
),

counted as (
    select
        namespace,
        identifier,
        count(*) as records_count,
        case namespace
            {%- for namespace, limit in var('overshared_limits').items() %}
            when '{{ namespace }}' then {{ limit }}
            {%- endfor %}
        end as records_limit
    from record_identifiers
    group by namespace, identifier
),

final as (
    select
        namespace,
        identifier,
        cast(records_count as bigint) as records_count,
        cast(records_limit as integer) as records_limit
    from counted
    where records_count > records_limit
)

select * from final
