{#- What measurement tells the readers: per run, and per day of a journey, the lines, as one file each, and the three
small marts whole. The files are temporary ones; `kundresa.warehouse` renames each over the one that is read. -#}
{% macro publish_measurement(run_keys, journey_days, target_dir) %}
    {% for name in ['account_summary', 'campaign_performance', 'journey_performance'] %}
        {% do run_query(copy_to_parquet(
            'select * from ' ~ relation_of(publishable(name)),
            target_dir ~ '/' ~ name ~ '/' ~ name ~ '.parquet'
        )) %}
    {% endfor %}
    {% for run_key in run_keys %}
        {% for name in ['deliveries', 'account_lines'] %}
            {% do publish_part(name, run_key, target_dir, 'profile_id, channel') %}
        {% endfor %}
    {% endfor %}
    {% for run_key in journey_days %}
        {% for name in ['deliveries', 'account_lines', 'journey_messages'] %}
            {% do publish_part(name, run_key, target_dir, 'profile_id, channel') %}
        {% endfor %}
    {% endfor %}
{% endmacro %}

{% macro publish_part(name, run_key, target_dir, order_by) %}
    {% do run_query(copy_to_parquet(
        'select ' ~ publishable(name).columns.keys() | join(', ') ~ ' from ' ~ relation_of(publishable(name))
        ~ ' where run_key = ' ~ literal(run_key),
        target_dir ~ '/' ~ name ~ '/' ~ run_key ~ '.parquet',
        order_by=order_by
    )) %}
{% endmacro %}
