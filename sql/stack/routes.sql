-- One row per version group and change of the user shares: the share of users that the group gets from then on.
-- Reads staging.events. Key: event_id, group. A row depends only on its event.
-- Partition: event_date
-- Follows: staging.events
with changes as (
    select
        event_id, ts, plan_id, item_id, resource, action, event_date,
        json_get_json(payload, 'task', 'before') as was,
        json_get_json(payload, 'task', 'after') as becomes
    from staging.events
    where type = 'adjustment' and json_get_str(payload, 'task', 'kind') = 'route'
),

named as (
    select event_id, unnest(json_object_keys(was)) as named from changes
    union
    select event_id, unnest(json_object_keys(becomes)) as named from changes
)

select
    c.event_id,
    c.ts, -- Time at which the shares were set, UTC.
    c.plan_id as plan, -- Plan that set the shares.
    c.item_id,
    c.resource as route, -- Route that has these shares. [not null]
    n.named as "group", -- Version group. [not null]
    coalesce(json_get_int(case when c.action = 'rollback' then c.becomes else c.was end, n.named), 0) as share_before, -- Share of users before the change, per cent. [0 to 100]
    coalesce(json_get_int(case when c.action = 'rollback' then c.was else c.becomes end, n.named), 0) as share, -- Share of users from the change on, per cent. [0 to 100]
    c.action, -- Origin of the change. [one of: apply, advance, rollback]
    c.event_date
from changes c
join named n on c.event_id = n.event_id
order by c.event_date, c.ts, c.event_id, n.named
