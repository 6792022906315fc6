-- One message per order: seven days after it was placed it has arrived, thirty days after it nobody
-- remembers the parcel.
select
    profile_id,
    order_id as entity_id
from {{ ref('int_profiles__orders') }}
where
    ordered_at <= {{ as_of() }} - interval '7' day
    and ordered_at > {{ as_of() }} - interval '30' day
