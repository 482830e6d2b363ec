-- One row per anomaly that the last run of `anomalies` found: the figure, the kind of anomaly, its start, and its severity.
-- Reads scratch.anomalies (the result of the current run of `anomalies`). Key: subject_kind, subject, measure, anomaly,
-- started_at.
select
    subject_kind, -- Kind of subject. [one of: resource, kpi, job; not null]
    subject, -- Resource, subject of the KPI, or job key. [not null]
    measure, -- Name of the figure, with its unit; `samples` for a silence. [not null]
    anomaly, -- Kind of anomaly. [one of: spike, level_shift, drift, leak, silence, peer_outlier; not null]
    severity, -- Severity. Critical: the subject is at its limit, is expected to reach the limit within two days, or has been silent for a day. Warning: the subject is near its limit, or the deviation from the usual value is at least twice the bound. [one of: notice, warning, critical; not null]
    started_at, -- Start time, UTC. [not null]
    ended_at, -- End time, UTC; null while the anomaly continues.
    score, -- Deviation from the usual value, divided by the bound that follows from the false-alarm budget. [>= 1]
    value, -- Most extreme value, or the new level, in the unit of the measure.
    usual, -- Usual value, in the unit of the measure.
    limit_value, -- Newest limit, in the unit of the measure.
    detail, -- Further details, in words.
    budget, -- Accepted number of false alarms per resource and week. [> 0]
    found_at -- Time of the search, UTC. [not null]
from scratch.anomalies
order by case severity when 'critical' then 1 when 'warning' then 2 else 3 end, started_at desc, subject, measure, anomaly
