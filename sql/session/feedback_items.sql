-- One row per plan or adjustment that has an item, for `feedback`.
-- Reads plans.items, staging.events.
-- Parameter item: text
select resource -- `env/service`.
from plans.items
where item_id = $item
union all
select resource
from staging.events
where type = 'adjustment' and item_id = $item
