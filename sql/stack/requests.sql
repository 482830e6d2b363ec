-- One row per request that a router sent to a version group: the user, the duration, and whether the request failed.
-- Reads staging.events. Key: event_id. A row depends only on its event.
-- The group is the one assigned to the user. If the nodes of that group were dead and another group answered, the request
-- counts as failed.
-- Partition: event_date
-- Follows: staging.events
with calls as (
    select
        event_id, ts, service, endpoint, duration_ms, event_date,
        nullif(stack_group, '') as answered_by,
        coalesce(nullif(json_get_str(payload, 'assigned'), ''), nullif(stack_group, '')) as drawn,
        nullif(json_get_str(payload, 'user'), '') as who,
        json_get_str(payload, 'request_id') as request_id,
        try_cast(status as bigint) as status
    from staging.events
    where type = 'api_call' and stack_group is not null
)

select
    event_id,
    ts, -- Time of the request, UTC.
    drawn as "group", -- Version group assigned to the user. [not null]
    answered_by, -- Version group that answered; null if none answered.
    coalesce(who, event_id) as unit, -- User, as a keyed hash; the request itself if no user is named. [not null]
    service, -- Service behind the edge. [not null]
    endpoint, -- Path, without its query.
    status, -- HTTP status; below 100 if the user disconnected.
    coalesce(status >= 500, false) or coalesce(answered_by <> drawn, true) as failed, -- Whether the request failed or its group could not answer. [not null]
    case when status between 100 and 499 and answered_by = drawn then duration_ms end as latency_ms, -- Time from the first byte to the end of the request, ms; null if the request failed. [>= 0]
    request_id, -- Identifier that the router passed on.
    event_date
from calls
where drawn is not null
order by event_date, ts, event_id
