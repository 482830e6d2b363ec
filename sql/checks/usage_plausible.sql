-- Shares are shares and intervals have a length. Finds one row per resource with samples that cannot be.
-- Reads marts.usage.
select resource as subject, concat(count(*), ' samples with a share above 1 or an interval of 0 s') as finding
from marts.usage
where throttled_ratio > 1 or psi_cpu_some > 1 or psi_memory_some > 1 or psi_io_some > 1 or interval_s <= 0
group by resource
order by resource
