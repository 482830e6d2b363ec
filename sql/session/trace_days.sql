-- One row per trace day and event day: the number of events on the event day that belong to traces of the trace day.
-- Reads staging.events, traces.branches, traces.links. Key: trace_date, event_date.
with pull_requests as (
    select distinct pr_id, trace_date from traces.branches
),

linked as (
    select pr_id, event_date from staging.events where pr_id is not null
    union all
    select pr_id, event_date from traces.links
)

select cast(p.trace_date as varchar) as trace_day, cast(l.event_date as varchar) as event_day, count(*) as events
from linked l
join pull_requests p on l.pr_id = p.pr_id
group by p.trace_date, l.event_date
