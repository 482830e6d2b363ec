-- One row per pair of versions of two components that were used together in runs: the numbers of passed and failed runs.
-- Reads stack.run_pairs. Key: component, version, other, other_version. A row depends on all runs of its pair.
select
    component, -- Component whose name sorts first. [not null]
    version, -- Version of the first component. [not null]
    other, -- Component whose name sorts second. [not null]
    other_version, -- Version of the second component. [not null]
    sum(case when passed then 1 else 0 end) as passed, -- Number of runs that passed. [>= 0]
    sum(case when passed then 0 else 1 end) as failed, -- Number of runs that failed. [>= 0]
    sum(case when source = 'staging' then 1 else 0 end) as staged, -- Number of passed and failed runs in a staging environment that do not list their versions themselves. [>= 0]
    max(started_at) as last_run_at -- Start time of the last run, UTC. [not null]
from stack.run_pairs
group by component, version, other, other_version
order by component, version, other, other_version
