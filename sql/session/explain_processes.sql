-- One row per process that was the heaviest process of a resource in a sample of the last 60 days, for `explain`. The five
-- most frequent processes are shown.
-- Reads staging.events.
-- Parameter resource: text
select
    json_get_str(top_process, 'name') as name, -- Name of the process.
    count(*) as samples, -- Number of samples in which the process was the heaviest. [> 0]
    max(json_get_float(top_process, 'cpu_cores')) as cpu_cores, -- Largest CPU use of the process, cores.
    max(json_get_float(top_process, 'memory_bytes')) as memory_bytes -- Largest memory use of the process, bytes.
from staging.events
where type = 'usage' and resource = $resource and top_process is not null and ts <= (select now from session.clock)
    and ts > (select now from session.clock) - interval '60 days'
group by json_get_str(top_process, 'name')
order by samples desc, name
limit 5
