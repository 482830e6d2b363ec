-- One row per request to a version group in a period, for `stack advance`.
-- Reads stack.requests. One page is several requests, so the requests of a user in the first five seconds count together, at
-- the end of these five seconds. Users whose five seconds are not over are left out, so that a later look at the same period
-- gives the same rows.
-- Parameter group: text
-- Parameter from: timestamp
-- Parameter until: timestamp
with requests as (
    select unit, ts, latency_ms, failed, min(ts) over (partition by unit) + interval '5 seconds' as known_at
    from stack.requests
    where "group" = cast($group as varchar) and ts >= $from and ts < $until
)

select
    greatest(ts, known_at) as ts, -- Time at which the request counts, UTC.
    unit, -- User (as a keyed hash) or request.
    latency_ms as latency, -- Time from the first byte to the end of the request, ms; null if the request failed. [>= 0]
    latency_ms as latency_tail,
    case when failed then 1.0 else 0.0 end as errors -- Whether the request failed. [0 to 1]
from requests
where known_at < $until
order by ts, unit
