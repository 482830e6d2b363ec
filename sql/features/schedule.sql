-- One row per scheduled event, past or to come, as it was last announced by session.clock.
-- Reads staging.events, session.clock. Key: schedule_event_id.
with announced as (
    select
        schedule_event_id,
        coalesce(resource, env) as resource,
        event_type,
        start_time,
        end_time,
        json_get_float(details, 'scale') as scale,
        row_number() over (partition by schedule_event_id order by ts desc, event_id) as newest
    from staging.events
    where type = 'schedule' and ts <= (select now from session.clock)
)

select
    schedule_event_id,
    resource, -- Resource or environment it touches; null: all.
    event_type,
    start_time,
    end_time,
    case when scale between 0 and 1000 then scale end as scale -- Expected load as a multiple of the usual, up to a thousand; null where not told. [>= 0]
from announced
where newest = 1
order by start_time, schedule_event_id
