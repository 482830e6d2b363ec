-- One row per request to a version group in a span of time, for `stack advance`.
-- Reads stack.requests.
-- Parameter group: text
-- Parameter from: timestamp
-- Parameter until: timestamp
select
    ts, -- When it came, UTC.
    unit, -- User, as a keyed hash, or request.
    latency_ms as latency, -- From its first byte to its end, ms; null where it failed. [>= 0]
    latency_ms as latency_tail,
    case when failed then 1.0 else 0.0 end as errors -- Whether it failed. [0 to 1]
from stack.requests
where "group" = cast($group as varchar) and ts >= $from and ts < $until
order by ts, unit
