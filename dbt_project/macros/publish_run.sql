{#- One decided run as files, under target_dir, whose folders `decisions` and `batches` exist already:

decisions/   all lines, in the order of profile_id, so that "everything about one person" opens one row
             group of each run
run.parquet  the run's line of decided_runs
batches/     the `send` lines by channel and batch, in the order of message_id, each with the person's
             profile as a struct

A run that is not decided is an error; with `only_recorded` nothing is written then. -#}
{% macro publish_run(run_key, target_dir, only_recorded=false) %}
    {% set decisions = publishable('decisions') %}
    {% set decided_runs = publishable('decided_runs') %}
    {% set profiles = publishable('profiles') %}
    {% set the_run = 'run_key = ' ~ literal(run_key) %}

    {% set found = run_query('select count(*) from ' ~ relation_of(decided_runs) ~ ' where ' ~ the_run) %}
    {% set is_decided = found.columns[0].values()[0] == 1 %}
    {% if not is_decided and not only_recorded %}
        {{ exceptions.raise_compiler_error(
            'run ' ~ run_key ~ ' is not decided: it was not among the open runs that were exported'
        ) }}
    {% endif %}

    {% if is_decided %}
        {% do run_query(copy_to_parquet(
            'select * from ' ~ relation_of(decided_runs) ~ ' where ' ~ the_run, target_dir ~ '/run.parquet'
        )) %}
        {% do run_query(copy_to_parquet(
            'select * from ' ~ relation_of(decisions) ~ ' where ' ~ the_run,
            target_dir ~ '/decisions/decisions.parquet',
            order_by='profile_id, entity_id, channel',
            is_one_file=false
        )) %}
        {% do copy_to_batches(
            'select decisions.*, ' ~ struct_of('profiles', profiles.columns.keys() | list) ~ ' as profile'
            ~ ' from ' ~ relation_of(decisions) ~ ' as decisions'
            ~ ' left join ' ~ relation_of(profiles) ~ ' as profiles on decisions.profile_id = profiles.profile_id'
            ~ ' where decisions.' ~ the_run ~ " and decisions.verdict = 'send'",
            target_dir ~ '/batches',
            order_by='message_id'
        ) %}
    {% endif %}
{% endmacro %}

{#- The node of a model of this project. -#}
{% macro publishable(name) -%}
    {{ return(graph.nodes['model.kundresa.' ~ name]) }}
{%- endmacro %}
