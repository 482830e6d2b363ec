-- One row per request to a version group in a span of time, for `stack advance`.
-- Reads stack.requests. What a user does in the first five seconds is known together, when they are over: one page is several
-- requests. Users whose five seconds are not over are left out, so that a later look sees the same of an earlier time.
-- Parameter group: text
-- Parameter from: timestamp
-- Parameter until: timestamp
with requests as (
    select unit, ts, latency_ms, failed, min(ts) over (partition by unit) + interval '5 seconds' as known_at
    from stack.requests
    where "group" = cast($group as varchar) and ts >= $from and ts < $until
)

select
    greatest(ts, known_at) as ts, -- When it counts, UTC.
    unit, -- User, as a keyed hash, or request.
    latency_ms as latency, -- From the first byte to the end, ms; null if it failed. [>= 0]
    latency_ms as latency_tail,
    case when failed then 1.0 else 0.0 end as errors -- Whether it failed. [0 to 1]
from requests
where known_at < $until
order by ts, unit
