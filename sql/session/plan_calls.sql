-- One row per service that was ever called, for `plan`.
-- Reads staging.events. Key: service.
select
    service, -- The service.
    count(*) as calls, -- Its calls. [> 0]
    max(ts) as last_at -- When it was called last, UTC.
from staging.events
where type = 'api_call' and service is not null and ts <= (select now from session.clock)
group by service
