with

sources as (
    select * from {{ ref('int_segments__sources') }}
),

times as (
    select * from {{ ref('int_segments__source_times') }}
),

final as (
    select
        cast(sources.segment as string) as segment,
        cast(sources.source as string) as source,
        cast(times.fresh_at as timestamp) as fresh_at
    from sources
    left join times on sources.source = times.source
)

select * from final
