{#- How values that people typed become values that can be compared. Each takes an SQL expression and
gives one; null stays null. Tested at their boundaries in models/identity/_identity__unit_tests.yml. -#}

{#- Without white space at both ends, no-break and zero-width spaces included; null when nothing is left. -#}
{% macro trimmed(value) -%}
    nullif({{ regexp_replace_all(value, '^[\\s\\x{00a0}\\x{200b}\\x{feff}]+|[\\s\\x{00a0}\\x{200b}\\x{feff}]+$') }}, '')
{%- endmacro %}

{#- The address as it is written to: trimmed, lower case. (RFC 5321 lets a mailbox mind the case of its
local part; none in practice does, and people do not.) -#}
{% macro email_address(value) -%}
    lower({{ trimmed(value) }})
{%- endmacro %}

{#- Whether an address in the form of email_address() can be written to: RFC 5321's dot-string and
domain, of which we take less than it allows: no quoted local part, no address literal, ASCII only
(SMTPUTF8 is not spoken), a domain of two labels or more, 64 octets before the @ and 254 in all. -#}
{% macro is_email(address) -%}
    (
        {{ regexp_found(address, "^[a-z0-9!#$%&''*+/=?^_`{|}~-]+([.][a-z0-9!#$%&''*+/=?^_`{|}~-]+)*@([a-z0-9]([a-z0-9-]{0,61}[a-z0-9])?[.])+([a-z]{2,63}|xn--[a-z0-9-]{1,59})$") }}
        and length({{ address }}) <= 254
        and length(split_part({{ address }}, '@', 1)) <= 64
    )
{%- endmacro %}

{#- What identifies the person behind a valid address: without what its provider ignores (the variable
email_providers). Elsewhere a dot or a +tag tells people apart. Null when the address is not valid: `n/a`
is nobody. (`length(…) > 0` and coalesce(): DuckDB 2.0.0 cannot bind `split_part(…) = 'x'` over a column that
holds nothing but nulls.) -#}
{% macro email_identifier(address) -%}
    {%- set local = "split_part(" ~ address ~ ", '@', 1)" -%}
    {%- set domain = "split_part(" ~ address ~ ", '@', 2)" -%}
    case
        when not {{ is_email(address) }} then null
        {%- for provider in email_providers() %}
            {%- set name = namespace(sql=local) %}
            {%- if provider.tag_separator %}
                {%- set name.sql = "split_part(" ~ local ~ ", '" ~ provider.tag_separator ~ "', 1)" %}
            {%- endif %}
            {%- if provider.ignores_dots %}
                {%- set name.sql = "replace(" ~ name.sql ~ ", '.', '')" %}
            {%- endif %}
        when coalesce({{ domain }}, '') in ('{{ provider.domains | join("', '") }}') and length({{ name.sql }}) > 0
            then {{ name.sql }} || '@' || {{ literal(provider.canonical_domain) if provider.canonical_domain else domain }}
        {%- endfor %}
        else {{ address }}
    end
{%- endmacro %}

{#- The variable email_providers; a mistake in it is a compile error that names it. -#}
{% macro email_providers() -%}
    {%- set seen = [] -%}
    {%- for provider in var('email_providers') -%}
        {%- for key in provider if key not in ['domains', 'canonical_domain', 'ignores_dots', 'tag_separator'] -%}
            {{ exceptions.raise_compiler_error("vars: email_providers: there is no option " ~ key
                ~ "; there are domains, canonical_domain, ignores_dots, tag_separator") }}
        {%- endfor -%}
        {%- for domain in provider.get('domains') or [none] -%}
            {%- if domain is not string or domain != (domain | lower) or domain in seen -%}
                {{ exceptions.raise_compiler_error("vars: email_providers: " ~ (domain or 'a provider')
                    ~ " must name its domains, in lower case, each once") }}
            {%- endif -%}
            {%- do seen.append(domain) -%}
        {%- endfor -%}
        {%- if provider.get('tag_separator') not in [none, '+', '-', '='] -%}
            {{ exceptions.raise_compiler_error("vars: email_providers: tag_separator is +, - or =, not "
                ~ provider.tag_separator) }}
        {%- endif -%}
    {%- endfor -%}
    {{ return(var('email_providers')) }}
{%- endmacro %}

{#- The characters of a phone number that are dialled: digits and a leading +. `00` before a country
code becomes +, and the `(0)` of `+46 (0)70` goes. Letters stay, and make the number invalid. For numbers
that a source writes with their country code; records are parsed by int_identity__phone_numbers. -#}
{% macro phone_dialled(value) -%}
    {{ regexp_replace_all(
        regexp_replace_all(
            regexp_replace_all(trimmed(value), '^([+]|00)(.*)[(]0[)]', '\\1\\2'),
            '[\\s\\x{00a0}().\\-/]'
        ),
        '^00',
        '+'
    ) }}
{%- endmacro %}
