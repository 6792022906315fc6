{#- Whether a table about the open runs has a row like this: asked before the query, so that a rule that no open run
knows costs nothing. Yes where nothing can be asked, as in a unit test: then the whole query is tested. -#}
{% macro open_runs_have(name, condition) -%}
    {%- set table = ref(name) -%}
    {%- if execute and flags.WHICH in ('run', 'build') and model.resource_type == 'model' -%}
        {%- set found = run_query('select count(*) from ' ~ table ~ ' where ' ~ condition) -%}
        {{ return(found.columns[0].values()[0] | int > 0) }}
    {%- endif -%}
    {{ return(true) }}
{%- endmacro %}

{#- Whether the open runs consider few people, less than one in ten: asked before the query, so that what is known of
everybody is brought down to them before it is joined. (The engine cannot know, and builds its tables of everybody.) No
where nothing can be asked. -#}
{% macro open_runs_are_about_few() -%}
    {%- set memberships, segments, profiles
        = ref('segment_memberships'), ref('stg_operations__run_segments'), ref('profiles') -%}
    {%- if execute and flags.WHICH in ('run', 'build') and model.resource_type == 'model' -%}
        {%- set counted -%}
            select
                (
                    select count(*)
                    from {{ memberships }} as memberships
                    inner join {{ segments }} as segments on memberships.segment = segments.segment
                    where
                        segments.segment_role = 'include'
                        and memberships.exited_at is null
                ) as candidates,
                (select count(*) from {{ profiles }}) as people
        {%- endset -%}
        {%- set row = run_query(counted).rows[0] -%}
        {{ return(row[0] * 10 < row[1]) }}
    {%- endif -%}
    {{ return(false) }}
{%- endmacro %}
