-- One row per hour of one side of a comparison, for `verify`: the share of the resources whose limits caused contention.
-- Reads features.resource_hours, plans.outcomes. There are three sides. `candidate` is the changed resource since the change.
-- `twins` are services with the same name in other environments in the same hours that were not changed themselves. `before`
-- is the resource from `from` until the change, in the hours of the day that the candidate has, with weekends apart.
-- Parameter resource: text
-- Parameter side: text
-- Parameter applied: timestamp
-- Parameter until: timestamp
-- Parameter from: timestamp
with since as (
    select hour, date_part('hour', hour) as of_day, date_part('dow', hour) in (0, 6) as weekend
    from features.resource_hours
    where resource = cast($resource as varchar) and hour >= $applied and hour + interval '1 hour' <= $until
),

changed as (
    select resource from plans.outcomes
    where type = 'adjustment' and ts >= $applied - interval '14 days' and ts <= $until
)

select
    h.hour as ts, -- Start of the hour, UTC.
    avg(case when h.contended then 1.0 else 0.0 end) as contended -- Share of the resources that were contended. [0 to 1]
from features.resource_hours h
where (
    cast($side as varchar) = 'candidate' and h.resource = cast($resource as varchar)
    and h.hour >= $applied and h.hour + interval '1 hour' <= $until
) or (
    cast($side as varchar) = 'twins' and h.resource <> cast($resource as varchar)
    and split_part(h.resource, '/', 2) = split_part(cast($resource as varchar), '/', 2)
    and h.resource not in (select resource from changed where resource is not null)
    and h.hour in (select hour from since)
) or (
    cast($side as varchar) = 'before' and h.resource = cast($resource as varchar)
    and h.hour >= $from and h.hour + interval '1 hour' <= $applied
    and concat(date_part('hour', h.hour), date_part('dow', h.hour) in (0, 6)) in (select concat(of_day, weekend) from since)
)
group by h.hour
order by h.hour
