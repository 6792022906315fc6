{#- A line has a batch exactly when it is to be sent; delivery would never see one without. -#}
{% test batch_numbers_follow_verdicts(model) %}
    select *
    from {{ model }}
    where
        (verdict = 'send' and (batch_number is null or batch_number < 1 or reason is not null or address is null))
        or (verdict != 'send' and (batch_number is not null or reason is null))
{% endtest %}
