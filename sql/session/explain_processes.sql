-- One row per process that was the heaviest of a resource in a sample of the last 60 days, the five most frequent, for `explain`.
-- Reads staging.events.
-- Parameter resource: text
select
    json_get_str(top_process, 'name') as name, -- Its name.
    count(*) as samples, -- Samples in which it was the heaviest. [> 0]
    max(json_get_float(top_process, 'cpu_cores')) as cpu_cores, -- Its largest CPU use, cores.
    max(json_get_float(top_process, 'memory_bytes')) as memory_bytes -- Its largest memory use, bytes.
from staging.events
where type = 'usage' and resource = $resource and top_process is not null and ts <= (select now from session.clock)
    and ts > (select now from session.clock) - interval '60 days'
group by json_get_str(top_process, 'name')
order by samples desc, name
limit 5
