//! What leaks: which process it is in, and a restart before the limit is full.

use super::{Found, Ground, proposed};
use crate::failure::Failure;
use domain::plan::{Action, Candidate, Evidence, Leak, literal};
use domain::rules::When;
use domain::task::TaskRule;
use domain::units::format_bytes;
use lake::Session;
use std::collections::BTreeMap;

/// Of each resource that leaks, the process whose memory grew: the one that took most, with its first and last figures.
pub(in super::super) async fn culprits(
    session: &Session,
    leaking: &[&str],
) -> Result<BTreeMap<String, Evidence>, Failure> {
    let mut culprits = BTreeMap::new();
    for resource in leaking {
        let sql = format!(
            "select json_get_str(top_process, 'name') as process, count(*) as samples, \
             min(json_get_float(top_process, 'memory_bytes')) as least, \
             max(json_get_float(top_process, 'memory_bytes')) as most from staging.events \
             where type = 'usage' and resource = {} and top_process is not null \
             and ts <= (select now from session.clock) group by json_get_str(top_process, 'name') \
             order by most - least desc nulls last, samples desc",
            literal(resource)
        );
        let rows = session.query(&sql).await?.to_json()?;
        let Some(row) = rows.first() else { continue };
        let Some(process) = row["process"].as_str() else { continue };
        let bytes = |name: &str| row[name].as_f64().map(format_bytes);
        let grew = match (bytes("least"), bytes("most")) {
            (Some(least), Some(most)) => format!("{process}, {least} to {most}"),
            _ => process.to_owned(),
        };
        let said = format!("{grew}, in {} samples", row["samples"]);
        culprits.insert((*resource).to_owned(), Evidence::rows("process that grew", said, "staging.events", sql));
    }
    Ok(culprits)
}

/// Restarts where the rules say so.
pub(super) fn found(ground: &Ground<'_>) -> Result<Found, Failure> {
    let mut found = Found::default();
    for (candidate, leak, share) in ground.candidates.iter().filter_map(leaking) {
        if !ground.rules.leads(When::Leak, share, Action::Restart, &candidate.resource) {
            continue;
        }
        let rule = TaskRule { resource: candidate.resource.clone(), restart: true, ..TaskRule::default() };
        for (_, it) in ground.doable(&[rule])? {
            if it.on != candidate.on {
                continue;
            }
            let reason = format!(
                "its memory leaks since {} and fills {:.0} % of its limit: a restart gives it back until the leak is found",
                leak.since.date(),
                share * 100.0
            );
            let sql = format!(
                "select ts, memory_bytes, memory_limit_bytes from marts.usage where resource = {} and ts >= timestamp '{}' \
                 order by ts",
                literal(&candidate.resource),
                leak.since
            );
            let value =
                format!("{} a day, now {}", format_bytes(leak.bytes_per_day), format_bytes(leak.now_bytes as f64));
            found.proposals.push(proposed(it, reason, vec![Evidence::rows("growth", value, "marts.usage", sql)], None));
        }
    }
    Ok(found)
}

/// The leak of a resource, and the share of its limit that is filled.
fn leaking(candidate: &Candidate) -> Option<(&Candidate, Leak, f64)> {
    let leak = candidate.recommendation.as_ref()?.leak?;
    let limit = candidate.live.memory_bytes.filter(|limit| *limit > 0)?;
    Some((candidate, leak, leak.now_bytes as f64 / limit as f64))
}
