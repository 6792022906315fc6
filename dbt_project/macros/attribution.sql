{#- Whose a row is that names a person by account_id, crm_id or email: the account's owner, else the CRM
record's, else the owner of the address; null when none of them is known. `relation` is a CTE. -#}
{% macro with_profile_id(relation) -%}
    select
        {{ relation }}.*,
        coalesce(by_account.profile_id, by_crm.profile_id, by_email.profile_id) as profile_id
    from {{ relation }}
    left join {{ ref('int_identity__identifier_owners') }} as by_account
        on
            by_account.namespace = 'account_id'
            and {{ relation }}.account_id = by_account.identifier
    left join {{ ref('int_identity__identifier_owners') }} as by_crm
        on
            by_crm.namespace = 'crm_id'
            and {{ relation }}.crm_id = by_crm.identifier
    left join {{ ref('int_identity__identifier_owners') }} as by_email
        on
            by_email.namespace = 'email'
            and {{ email_identifier(email_address(relation ~ '.email')) }} = by_email.identifier
{%- endmacro %}
