-- A run is one row. Finds one row per repeated repository, run_id and start.
-- Reads marts.runs.
select concat_ws(' ', repo, run_id) as subject, concat('is in marts.runs ', count(*), ' times') as finding
from marts.runs
group by repo, run_id, started_at
having count(*) > 1
order by subject
