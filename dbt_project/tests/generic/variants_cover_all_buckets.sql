{#- The variants of a run own the buckets 0 to 9999: no gap, no overlap. A person in a gap would get a
message of no variant; one in an overlap would get two lines. -#}
{% test variants_cover_all_buckets(model) %}
    with

    neighbours as (
        select
            run_key,
            bucket_from,
            bucket_to,
            lag(bucket_to, 1, 0) over (partition by run_key order by bucket_from, bucket_to) as previous_bucket_to,
            lead(bucket_from, 1, 10000) over (partition by run_key order by bucket_from, bucket_to) as next_bucket_from
        from {{ model }}
    )

    select *
    from neighbours
    where
        bucket_from >= bucket_to
        or bucket_from != previous_bucket_to
        or bucket_to != next_bucket_from
{% endtest %}
