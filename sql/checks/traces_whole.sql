-- Every pull request that an event names has a trace, and every trace has events. Finds one row per missing side.
-- Reads staging.events, traces.traces, traces.events.
select e.pr_id as subject, 'is named by events but has no trace: run `pipeline materialize`' as finding
from (select distinct pr_id from staging.events where pr_id is not null) e
left join traces.traces t on e.pr_id = t.pr_id
where t.pr_id is null

union all

select t.pr_id as subject, 'has a trace without events' as finding
from traces.traces t
left join (select distinct pr_id from traces.events) e on t.pr_id = e.pr_id
where e.pr_id is null
order by subject
