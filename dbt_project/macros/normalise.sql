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

{#- What identifies the person behind a valid address: without the +tag (at every domain: two people
who share a mailbox but for the tag do not exist in practice), and without dots at Gmail, which
ignores them. Dots elsewhere tell people apart. Null when the address is not valid: `n/a` is nobody. -#}
{% macro email_identifier(address) -%}
    case
        when not {{ is_email(address) }} then null
        when split_part({{ address }}, '@', 2) in ('gmail.com', 'googlemail.com')
            then replace(split_part(split_part({{ address }}, '@', 1), '+', 1), '.', '') || '@gmail.com'
        when split_part(split_part({{ address }}, '@', 1), '+', 1) = '' then {{ address }}
        else split_part(split_part({{ address }}, '@', 1), '+', 1) || '@' || split_part({{ address }}, '@', 2)
    end
{%- endmacro %}

{#- The characters of a phone number that are dialled: digits and a leading +. `00` before a country
code becomes +, and the `(0)` of `+46 (0)70` goes. Letters stay, and make the number invalid. -#}
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

{#- E.164 of what phone_dialled() gave: a number without + is national to the country whose calling
code and trunk prefix (the 0 of 070, null where there is none) are given. Null when it is neither. -#}
{% macro phone_e164(dialled, calling_code, trunk_prefix) -%}
    case
        when {{ regexp_found(dialled, '^[+][1-9][0-9]{6,14}$') }} then {{ dialled }}
        when {{ calling_code }} is null or not {{ regexp_found(dialled, '^[0-9]{5,14}$') }} then null
        when {{ trunk_prefix }} is not null and starts_with({{ dialled }}, {{ trunk_prefix }})
            then '+' || {{ calling_code }} || substring({{ dialled }}, length({{ trunk_prefix }}) + 1)
        else '+' || {{ calling_code }} || {{ dialled }}
    end
{%- endmacro %}
