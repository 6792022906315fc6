{# The person's address on a channel, where `candidates` and `contact_points` are joined. A webhook's receiver knows
   people by their profile id: everybody has that address, and no contact point is kept for it. #}
{% macro address_on(channel) -%}
    case when {{ channel }} = 'webhook' then candidates.profile_id else contact_points.address end
{%- endmacro %}
