-- No event is later than now; a later event means that a clock is wrong. Such events are kept, but watermarks and training
-- ignore them.
-- Finds one row per type and source environment. Reads staging.events, session.clock.
select
    concat_ws(' ', type, repo, env) as subject,
    concat(count(*), ' events lie in the future, the latest at ', cast(max(ts) as varchar)) as finding
from staging.events
where ts > (select now from session.clock)
group by type, repo, env
order by subject
