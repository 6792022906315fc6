{#- The column holds one value throughout; an empty table passes. -#}
{% test one_value(model, column_name) %}
    select count(distinct {{ column_name }}) as values_count
    from {{ model }}
    having count(distinct {{ column_name }}) > 1
{% endtest %}
