-- One row: the figures that a plan projected for a resource, measured on the samples while the plan was in force, for
-- `verify`. Slack is defined as in the replay: the unused share of all limits. Where the replay counts demand above the CPU
-- limit, this query counts samples that reached the limit. Where the replay counts memory above the limit, this query counts
-- samples with an OOM kill.
-- Reads marts.usage.
-- Parameter resource: text
-- Parameter applied: timestamp
-- Parameter until: timestamp
select
    count(*) as samples, -- Number of samples while the plan was in force. [>= 0]
    max(ts) as newest, -- Time of the newest sample, UTC.
    last_value(cpu_limit_cores order by ts) filter (where cpu_limit_cores is not null) as cpu_limit_cores, -- Newest CPU limit, cores.
    last_value(memory_limit_bytes order by ts) filter (where memory_limit_bytes is not null) as memory_limit_bytes, -- Newest memory limit, bytes.
    round(
        sum(greatest(cpu_limit_cores - cpu_cores, 0.0)) / nullif(sum(cpu_limit_cores) filter (where cpu_cores is not null), 0.0), 6
    ) as slack, -- Unused share of the CPU limits. [0 to 1]
    round(
        sum(greatest(memory_limit_bytes - memory_bytes, 0.0))
        / nullif(sum(memory_limit_bytes) filter (where memory_bytes is not null), 0.0), 6
    ) as memory_slack, -- Unused share of the memory limits. [0 to 1]
    round(avg(case when coalesce(oom_kills, 0) > 0 then 1.0 else 0.0 end), 6) as oom_rate, -- Share of samples with an OOM kill. [0 to 1]
    round(avg(case when cpu_share >= 0.99 then 1.0 else 0.0 end) filter (where cpu_share is not null), 6) as throttled_rate -- Share of samples at the CPU limit. [0 to 1]
from marts.usage
where resource = $resource and ts > $applied and ts <= $until
