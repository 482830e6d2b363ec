-- One row per change of an application up to session.clock, other than changes of limits: a deployment, an annotation, or a
-- feature flag that was switched according to a log record. These changes are possible causes, and they mark steps in the
-- history of the resources that they affect.
-- Reads staging.events, session.clock. Key: event_id.
with told as (
    select
        event_id,
        ts,
        type,
        coalesce(resource, env) as resource,
        repo,
        case type
            when 'deployment' then concat_ws(' ', coalesce(json_get_str(payload, 'task'), 'deployment'), json_get_str(payload, 'environment'), left(json_get_str(payload, 'sha'), 12))
            when 'annotation' then note
            else concat_ws(' ', json_get_str(payload, 'event_name'), coalesce(json_get_str(payload, 'body'), json_get_str(payload, 'message')))
        end as text,
        coalesce(json_get_float(payload, 'duration_ms'), 0) as duration_ms,
        json_get_str(payload, 'result') as result
    from staging.events
    where type in ('annotation', 'deployment', 'log') and ts <= (select now from session.clock)
)

select
    event_id, -- Event that reports the change. [not null]
    ts as at, -- Time of the change, UTC; for a deployment, its start time. [not null]
    case type when 'log' then 'flag' else type end as change, -- Kind of change. [one of: deployment, annotation, flag; not null]
    resource, -- Resource or environment that the change affects; null if unknown.
    repo, -- Repository of the change, if known.
    left(text, 200) as text, -- Text that describes the change.
    case when type = 'deployment' then result end as result, -- Result of a deployment, if known.
    case when type = 'deployment' and duration_ms between 0 and 86400000 then duration_ms else 0 end as duration_ms -- Duration of a deployment, milliseconds. [>= 0]
from told
-- A record of a flag evaluation is not a change of the flag.
where
    type <> 'log'
    or (
        text not like 'feature_flag.evaluation%'
        and regexp_like(lower(text), 'flag|toggle')
        and regexp_like(lower(text), '(switched|turned|flipped|set) (to |it )?(on|off|true|false)|enabled|disabled|activated|deactivated|toggled|rolled out|flag[^a-z]+(is )?(now )?(on|off)\b|changed')
    )
