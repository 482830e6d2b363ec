-- One row per past or future scheduled event, as last announced up to session.clock, unless the event was cancelled.
-- Reads staging.events, features.application_changes, session.clock. Key: schedule_event_id. For a calendar series, only the
-- last announcement counts. A deployment reported by a CI system is included too, because the effect of one deployment
-- predicts the effect of the next.
with announced as (
    select
        schedule_event_id,
        coalesce(resource, env) as resource,
        event_type,
        start_time,
        end_time,
        json_get_float(details, 'scale') as scale,
        json_get_str(details, 'status') as status,
        json_get_str(details, 'series') as series,
        json_get_str(details, 'announced') as announced,
        row_number() over (partition by schedule_event_id order by ts desc, event_id) as newest
    from staging.events
    where type = 'schedule' and ts <= (select now from session.clock)
),

current_series as (
    select
        schedule_event_id,
        resource,
        event_type,
        start_time,
        end_time,
        scale,
        status,
        newest,
        announced,
        max(announced) over (partition by series) as last_announced,
        series
    from announced
),

coming as (
    select schedule_event_id, resource, event_type, start_time, end_time, case when scale between 0 and 1000 then scale end as scale
    from current_series
    where newest = 1
        and coalesce(status, '') <> 'cancelled'
        and (series is null or announced = last_announced)

    union all

    select
        event_id as schedule_event_id,
        resource,
        'deployment' as event_type,
        at as start_time,
        at + arrow_cast(cast(duration_ms as bigint) * 1000, 'Duration(Microsecond)') as end_time,
        cast(null as double) as scale
    from features.application_changes
    where change = 'deployment' and resource is not null
)

select
    schedule_event_id, -- Identifier that the organisation gave the scheduled event; for a deployment reported by a CI system, its event.
    resource, -- Resource or environment that the event affects; null if it affects all.
    event_type, -- Kind of event: deployment, maintenance, load or holiday.
    start_time,
    end_time,
    scale -- Expected load as a multiple of the usual load, up to a thousand; null if not given. [>= 0]
from coming
order by start_time, schedule_event_id
