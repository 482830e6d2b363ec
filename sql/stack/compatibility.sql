-- One row per pair of versions of two components that were used together in runs: the numbers of passed and failed runs.
-- Reads stack.run_pairs. Key: component, version, other, other_version. A row depends on all runs of its pair.
select
    component, -- The first of the two by name. [not null]
    version, -- Its version. [not null]
    other, -- The second. [not null]
    other_version, -- Its version. [not null]
    sum(case when passed then 1 else 0 end) as passed, -- Runs that passed. [>= 0]
    sum(case when passed then 0 else 1 end) as failed, -- Runs that failed. [>= 0]
    sum(case when source = 'staging' then 1 else 0 end) as staged, -- Runs of both kinds in a staging environment that do not list their versions themselves. [>= 0]
    max(started_at) as last_run_at -- When the last of them began, UTC. [not null]
from stack.run_pairs
group by component, version, other, other_version
order by component, version, other, other_version
