-- seq counts from 1 without gaps inside a pull request. Finds one row per broken trace.
-- Reads traces.events.
select pr_id as subject, concat('has ', count(*), ' events but seq runs from ', min(seq), ' to ', max(seq)) as finding
from traces.events
group by pr_id
having min(seq) <> 1 or max(seq) <> count(*) or count(distinct seq) <> count(*)
order by pr_id
