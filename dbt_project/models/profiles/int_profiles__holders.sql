{#- Each namespace is summed up by itself: it needs the memory of its own identifiers only, and one whose values
are on one record each needs none. Identity's rule says whose an identifier is that several have. A namespace
that needs a first name to join (a household's phone) says it only while one profile has it. An email joins by
itself: where a limit keeps two people apart who share one, it is theirs with whom a guest's orders from it
are, else the one's with the oldest record of it. -#}
{%- set shared_by_households = namespaces_with('together_with').keys() | list %}
with

held as (
    {%- for name in identity_namespaces() %}
    {%- set is_on_one_record = name in own_ids() %}
    select
        record_identifiers.namespace,
        record_identifiers.identifier,
        {{ 'record_profiles.profile_id' if is_on_one_record else 'min(record_profiles.profile_id)' }} as profile_id,
        {{ 'record_profiles.profile_id' if is_on_one_record else 'max(record_profiles.profile_id)' }} as last_profile_id
    from {{ ref('int_identity__record_identifiers') }} as record_identifiers
    inner join {{ ref('int_identity__record_profiles') }} as record_profiles
        on record_identifiers.record_id = record_profiles.record_id
    where
        record_identifiers.namespace = '{{ name }}'
        and not {{ is_set_aside('record_profiles.set_aside', 'record_identifiers.namespace') }}
    {%- if not is_on_one_record %}
    group by record_identifiers.namespace, record_identifiers.identifier
    {%- endif %}
    {{- "\n    union all" if not loop.last }}
    {%- endfor %}
),

-- Few are shared, and only those are worth a second look.
shared as (
    select
        namespace,
        identifier
    from held
    where profile_id != last_profile_id
),

ordered as (
    select
        shared.namespace,
        shared.identifier,
        record_profiles.profile_id,
        row_number() over (
            partition by shared.namespace, shared.identifier
            order by
                case when source_records.source = 'order' then 0 else 1 end asc,
                {{ by_age('source_records.') }}
        ) as choice
    from shared
    inner join {{ ref('int_identity__record_identifiers') }} as record_identifiers
        on
            shared.namespace = record_identifiers.namespace
            and shared.identifier = record_identifiers.identifier
    inner join {{ ref('int_identity__record_profiles') }} as record_profiles
        on record_identifiers.record_id = record_profiles.record_id
    inner join {{ ref('int_identity__source_records') }} as source_records
        on record_identifiers.record_id = source_records.record_id
    where not {{ is_set_aside('record_profiles.set_aside', 'record_identifiers.namespace') }}
),

final as (
    select
        namespace,
        identifier,
        profile_id,
        false as is_shared,
        true as is_owner
    from held
    where profile_id = last_profile_id
    union all
    select
        namespace,
        identifier,
        profile_id,
        true as is_shared,
        min(choice) = 1
        {%- for name in shared_by_households %}
        and namespace != '{{ name }}'
        {%- endfor %} as is_owner
    from ordered
    group by
        namespace,
        identifier,
        profile_id
)

select * from final
