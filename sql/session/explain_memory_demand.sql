-- One row per sample of a service with the same name and a higher memory limit that used about the limit of this resource or
-- more, for the counterfactual of `explain`. Demand above a limit cannot be seen in samples under that limit.
-- Reads marts.usage.
-- Parameter resource: text
-- Parameter limit: number
select cast(coalesce(greatest(memory_bytes, memory_peak_bytes), memory_bytes) as double) as demand -- Bytes. [>= 0]
from marts.usage
where split_part(resource, '/', 2) = split_part($resource, '/', 2) and split_part(resource, '/', 2) <> ''
    and ts <= (select now from session.clock)
    and memory_limit_bytes > $limit
    and coalesce(greatest(memory_bytes, memory_peak_bytes), memory_bytes) >= 0.98 * $limit
order by demand
