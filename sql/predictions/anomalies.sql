-- One row per anomaly that the last `anomalies` found: the figure, the kind of anomaly, its start, and its severity.
-- Reads scratch.anomalies (the result of the current `anomalies`). Key: subject_kind, subject, measure, anomaly, started_at.
select
    subject_kind, -- Kind of subject. [one of: resource, kpi, job; not null]
    subject, -- Resource, subject of the KPI, or job key. [not null]
    measure, -- Figure with its unit; `samples` for a silence. [not null]
    anomaly, -- Kind. [one of: spike, level_shift, drift, leak, silence, peer_outlier; not null]
    severity, -- Critical: at its limit, or expected there within two days, or silent for a day. Warning: near its limit, or twice the bound away from the usual value. [one of: notice, warning, critical; not null]
    started_at, -- When it began, UTC. [not null]
    ended_at, -- When it ended, UTC; null while it continues.
    score, -- Deviation from the usual value, divided by the bound that follows from the budget of false alarms. [>= 1]
    value, -- Most extreme value, or the new level, in the unit of the measure.
    usual, -- The usual value, in the same unit.
    limit_value, -- Newest limit, in the same unit.
    detail, -- Further details, in words.
    budget, -- Accepted false alarms per resource and week. [> 0]
    found_at -- Time of the search, UTC. [not null]
from scratch.anomalies
order by case severity when 'critical' then 1 when 'warning' then 2 else 3 end, started_at desc, subject, measure, anomaly
