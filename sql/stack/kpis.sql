-- One row per version group, metric, unit and minute with requests.
-- Reads stack.requests. Key: group, metric, unit, minute. A row depends on the requests of its unit and minute.
-- Partition: event_date
-- Follows: stack.requests
with metrics as (
    select "group", unit, ts, event_date, 'latency' as metric, cast(latency_ms as double) as value from stack.requests
    union all
    select "group", unit, ts, event_date, 'errors' as metric, case when failed then 1.0 else 0.0 end as value from stack.requests
)

select
    "group", -- Version group. [not null]
    metric, -- Metric that is measured. [one of: latency, errors]
    unit, -- User (as a keyed hash) or request. [not null]
    date_trunc('minute', ts) as minute, -- Minute of the requests, UTC. [not null]
    count(*) as requests, -- Number of requests with a value. [> 0]
    avg(value) as value, -- Mean duration in ms, or share of failed requests. [>= 0]
    max(value) as largest, -- Duration of the slowest request, ms; or 1 if a request failed. [>= 0]
    event_date
from metrics
where value is not null
group by "group", metric, unit, date_trunc('minute', ts), event_date
order by event_date, minute, "group", metric, unit
