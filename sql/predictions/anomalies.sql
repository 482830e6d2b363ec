-- One row per anomaly that the last `anomalies` found: what is unusual about which figure, since when, and how grave it is.
-- Reads scratch.anomalies (what `anomalies` computed just now). Key: subject_kind, subject, measure, anomaly, started_at.
select
    subject_kind, -- What it is of. [one of: resource, kpi, job; not null]
    subject, -- Resource, what the KPI is of, or job key. [not null]
    measure, -- Figure with its unit; of a silence `samples`. [not null]
    anomaly, -- What kind. [one of: spike, level_shift, drift, leak, silence, peer_outlier; not null]
    severity, -- Critical: at its limit or there within two days, or silent for a day. Warning: near its limit, or twice as far from the usual as it must be. [one of: notice, warning, critical; not null]
    started_at, -- When it began, UTC. [not null]
    ended_at, -- When it was over, UTC; null: it goes on.
    score, -- How far from the usual, over how far it must be to be found: at the stated budget of false alarms. [>= 1]
    value, -- Furthest value, or the new level, in the unit of the measure.
    usual, -- What is usual there, in the same unit.
    limit_value, -- Newest limit, in the same unit.
    detail, -- What else is known of it, in words.
    budget, -- False alarms per resource and week that the bounds allow. [> 0]
    found_at -- As of when it was looked for, UTC. [not null]
from scratch.anomalies
order by case severity when 'critical' then 1 when 'warning' then 2 else 3 end, started_at desc, subject, measure, anomaly
