-- Every event is in the lake once. Finds one row per event_id that is there more often.
-- Reads staging.events.
select event_id as subject, concat('is in staging.events ', count(*), ' times') as finding
from staging.events
group by event_id
having count(*) > 1
order by event_id
