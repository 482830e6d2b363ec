-- What is wrong: one row per anomaly that the last run of `anomalies` found, most severe first.
-- Reads predictions.anomalies, session.clock. An anomaly without an end continues. `score` is the deviation of a figure from
-- its usual value, divided by the deviation from which on an anomaly is reported.
-- Parameter resource: text, default null (all)
-- Parameter days: integer, default 30
-- chart: table
select
    severity,
    subject,
    measure,
    anomaly,
    date_trunc('minute', started_at) as started_at,
    date_trunc('minute', ended_at) as ended_at,
    case when abs(value) >= 1000 then round(value, 0) else round(value, 3) end as value,
    case when abs(usual) >= 1000 then round(usual, 0) else round(usual, 3) end as usual,
    round(score, 1) as score,
    detail
from predictions.anomalies
where (cast($resource as varchar) is null or subject = cast($resource as varchar)
        or starts_with(subject, concat(cast($resource as varchar), '/')))
    and found_at <= (select now from session.clock)
    and (ended_at is null
        or to_unixtime((select now from session.clock)) - to_unixtime(ended_at) <= cast($days as bigint) * 86400)
order by case severity when 'critical' then 1 when 'warning' then 2 else 3 end, started_at desc, subject, measure, anomaly
