{#- Whose a row is that names a person in one of the ways in which sources do. -#}

{#- The rows of `relation` (a CTE) that names a person by account_id, crm_id or email, with profile_id: the
account's owner, else the CRM record's, else the owner of the address; null when none of them is known.
Each address is normalised once, not once a row: a hundred million orders have ten million addresses. -#}
{% macro with_profile_id(relation) -%}
    select
        {{ relation }}.*,
        coalesce(by_account.profile_id, by_crm.profile_id, by_email.profile_id) as profile_id
    from {{ relation }}
    left join {{ ref('int_profiles__owners') }} as by_account
        on
            by_account.namespace = 'account_id'
            and {{ relation }}.account_id = by_account.identifier
    left join {{ ref('int_profiles__owners') }} as by_crm
        on
            by_crm.namespace = 'crm_id'
            and {{ relation }}.crm_id = by_crm.identifier
    left join (
        select
            mailboxes.email,
            owners.profile_id
        from (
            select
                email,
                {{ email_address('email') }} as address
            from {{ relation }}
            group by email
        ) as mailboxes
        inner join {{ ref('int_profiles__owners') }} as owners
            on
                owners.namespace = 'email'
                and {{ email_identifier('mailboxes.address') }} = owners.identifier
    ) as by_email
        on {{ relation }}.email = by_email.email
{%- endmacro %}

{#- Identifiers that a source names together with their namespace (the columns `namespace` and `identifier` of
`relation`), in the form in which identity knows them: the relation's columns, with named_namespace and
named_identifier. Two steps, so that each text is trimmed once: what email_identifier() is given is written
out some forty times in it, and a regular expression in each of them costs ten times the rest. -#}
{% macro with_named_identifier(relation) -%}
    select
        written.*,
        case written.named_namespace
            when 'email' then {{ email_identifier('written.written_address') }}
            when 'phone' then {{ phone_dialled('written.identifier') }}
            else written.written_identifier
        end as named_identifier
    from (
        select
            {{ relation }}.*,
            lower({{ trimmed(relation ~ '.namespace') }}) as named_namespace,
            {{ trimmed(relation ~ '.identifier') }} as written_identifier,
            {{ email_address(relation ~ '.identifier') }} as written_address
        from {{ relation }}
    ) as written
{%- endmacro %}
