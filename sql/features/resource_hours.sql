-- One row per resource and hour with samples up to session.clock: the resource use, the limits, and whether the work was
-- contended.
-- Reads marts.usage_hours, features.current_hours, session.clock. Key: resource, hour. Past hours come from
-- marts.usage_hours. The current hour is aggregated in the same way from the samples so far.
with hours as (
    select h.*
    from marts.usage_hours h
    cross join session.clock c
    where h.hour + interval '1 hour' <= c.now

    union all by name

    select *
    from features.current_hours
)

select
    resource,
    hour,
    samples,
    cpu_cores,
    cpu_cores_max,
    cpu_limit_cores,
    memory_bytes,
    memory_limit_bytes,
    io_bytes_per_s,
    net_bytes_per_s,
    throttled_ratio,
    oom_kills,
    contended
from hours
order by resource, hour
