//! Weights among neighbours: what each wanted while all together wanted more than there is.
//!
//! A weight in proportion to what a resource wants makes every neighbour slower by the same factor while processors are
//! scarce (weighted fair sharing; Parekh and Gallager, 1993), and costs nothing at any other time. What was wanted is what
//! was used, and what was waited for: a task that waited a share `w` of the time (PSI some) would have used `1 / (1 - w)` as
//! much. Says what one more core would have brought.

use super::{Found, Ground, proposed};
use crate::failure::Failure;
use domain::overrides::{Amounts, SANE, is_sane};
use domain::plan::{Action, Evidence, Note, State, literal};
use domain::rules::When;
use domain::task::TaskRule;
use domain::units::format_bytes;
use serde_json::Value;

/// `cpu.shares` where nothing is set.
const USUAL: f64 = 1024.0;
/// Weights further apart than this starve somebody.
const BOUNDS: (f64, f64) = (128.0, 8192.0);
/// A wait is counted up to this share: beyond it the estimate of what was wanted says little.
const MOST_WAIT: f64 = 0.5;

/// `cpu=16,memory=64GiB`.
pub(in super::super) fn parse_budget(text: &str) -> Result<State, String> {
    let mut amounts = Amounts::default();
    for part in text.split(',') {
        match part.split_once('=').map(|(name, value)| (name.trim(), value.trim().to_owned())) {
            Some(("cpu", value)) => amounts.cpu = Some(value),
            Some(("memory", value)) => amounts.memory = Some(value),
            _ => return Err(format!("cannot read {part:?}: write cpu=16,memory=64GiB")),
        }
    }
    let state = amounts.state().map_err(|text| format!("cannot read {text:?}: write cpu=16,memory=64GiB"))?;
    if is_sane(state) { Ok(state) } else { Err(format!("a budget is {SANE}, such as cpu=16,memory=64GiB")) }
}

/// One neighbour while processors were scarce.
struct Neighbour {
    resource: String,
    /// Cores that nine in ten of those moments stayed below.
    wanted: f64,
    core_hours: f64,
    waited: Option<f64>,
}

pub(super) async fn found(ground: &Ground<'_>) -> Result<Found, Failure> {
    let mut found = Found::default();
    let names: Vec<String> = ground.candidates.iter().map(|it| literal(&it.resource)).collect();
    let Some(cores) = ground.budget.cpu_cores.filter(|_| !names.is_empty()) else {
        found.notes.extend(memory(ground, &names, None).await?);
        return Ok(found);
    };
    let bins = bins(ground, &names).await?;
    let totals = totals(&bins, cores);
    let Some(row) = ground.session.query(&totals).await?.to_json()?.into_iter().next() else { return Ok(found) };
    let figure = |name: &str| row[name].as_f64().unwrap_or_default();
    found.notes.push(note(price(&row, cores, ground.core_month)));
    found.notes.extend(memory(ground, &names, Some(&bins)).await?);
    let is_contended = |it: &domain::plan::Candidate| {
        it.contention.is_some_and(|p| ground.rules.leads(When::Contention, p, Action::Prioritize, &it.resource))
    };
    let is_asked = ground.rules.of(When::Contention, Action::Prioritize, "*").is_some();
    let is_scarce = is_asked && figure("late") > 0.0;
    if !is_scarce && !ground.candidates.iter().any(is_contended) {
        return Ok(found);
    }
    let ranked = ranked(ground, &bins, cores).await?;
    let mean = ranked.iter().map(|it| it.wanted).sum::<f64>() / ranked.len().max(1) as f64;
    if mean <= 0.0 {
        return Ok(found);
    }
    for (place, it) in ranked.iter().enumerate() {
        let weight = ((it.wanted / mean * USUAL).clamp(BOUNDS.0, BOUNDS.1) / 64.0).round() * 64.0;
        let rule = TaskRule { resource: it.resource.clone(), cpu_weight: Some(weight as i64), ..TaskRule::default() };
        let waited =
            it.waited.map_or_else(String::new, |share| format!(", waiting {:.0} % of the time", share * 100.0));
        let reason = format!(
            "number {} of {} by what it wants while more than {cores} cores are wanted: {:.2} cores{waited}",
            place + 1,
            ranked.len(),
            it.wanted
        );
        let sql = format!(
            "{bins} select at, cpu, wanted, psi_cpu from bins where resource = {} and at in (select at from \
            bins group by at having sum(wanted) > {cores}) order by at",
            literal(&it.resource)
        );
        for (_, task) in ground.doable(&[rule])? {
            let value = format!("{:.1} core-hours, nine in ten moments below {:.2} cores", it.core_hours, it.wanted);
            let rows = Evidence::rows("wanted while processors were scarce", value, "marts.usage", sql.clone());
            let all = Evidence::rows("all together", words(&row, cores), "marts.usage", totals.clone());
            found.proposals.push(proposed(task, reason.clone(), vec![rows, all], None));
        }
    }
    Ok(found)
}

/// The usage of 30 days in equal steps, as wide as the samples are: `bins(resource, at, cpu, wanted, psi_cpu, memory, hours)`.
async fn bins(ground: &Ground<'_>, names: &[String]) -> Result<String, Failure> {
    let names = names.join(", ");
    let widest = format!(
        "select approx_percentile_cont(interval_s, 0.9) as seconds from marts.usage where resource in ({names}) \
         and ts <= (select now from session.clock) and ts > (select now from session.clock) - interval '30 days'"
    );
    let rows = ground.session.query(&widest).await?.to_json()?;
    let seconds = rows.first().and_then(|row| row["seconds"].as_f64()).unwrap_or(300.0).clamp(300.0, 86_400.0);
    let seconds = (seconds / 60.0).ceil() as i64 * 60;
    Ok(format!(
        "with bins as (select resource, at, cpu, psi_cpu, memory, cpu / (1 - least(coalesce(psi_cpu, 0), {MOST_WAIT})) as wanted, \
         {seconds} / 3600.0 as hours from (select resource, date_bin(interval '{seconds} seconds', ts - interval '1 second') \
         as at, avg(cpu_cores) as cpu, avg(psi_cpu_some) as psi_cpu, max(coalesce(greatest(memory_bytes, memory_peak_bytes), \
         memory_bytes)) as memory from marts.usage where resource in ({names}) and ts <= (select now from session.clock) \
         and ts > (select now from session.clock) - interval '30 days' \
         group by resource, date_bin(interval '{seconds} seconds', ts - interval '1 second')) as sampled)"
    ))
}

/// What was wanted in all, what of it would have been late with so many cores, and with one more.
fn totals(bins: &str, cores: f64) -> String {
    let more = cores + 1.0;
    format!(
        "{bins}, together as (select at, sum(wanted) as wanted, sum(memory) as memory, max(hours) as hours from bins group by \
         at) select count(*) as moments, max(wanted) as most, max(memory) as memory, sum(wanted * hours) as core_hours, \
         sum(case when wanted > {cores} then (wanted - {cores}) * hours else 0 end) as late, \
         sum(case when wanted > {more} then (wanted - {more}) * hours else 0 end) as late_with_more, \
         sum(case when wanted > {cores} then 1 else 0 end) as scarce from together"
    )
}

async fn ranked(ground: &Ground<'_>, bins: &str, cores: f64) -> Result<Vec<Neighbour>, Failure> {
    let sql = format!(
        "{bins}, scarce as (select at from bins group by at having sum(wanted) > {cores}), \
         counted as (select count(*) as moments from scarce) \
         select b.resource, approx_percentile_cont(b.wanted, 0.9) as wanted, sum(b.wanted * b.hours) as core_hours, \
         avg(b.psi_cpu) as psi from bins b cross join counted c where b.wanted is not null and (c.moments = 0 or b.at in \
         (select at from scarce)) group by b.resource order by core_hours desc, b.resource"
    );
    let rows = ground.session.query(&sql).await?.to_json()?;
    let neighbour = |row: Value| {
        Some(Neighbour {
            resource: row["resource"].as_str()?.to_owned(),
            wanted: row["wanted"].as_f64()?,
            core_hours: row["core_hours"].as_f64()?,
            waited: row["psi"].as_f64(),
        })
    };
    Ok(rows.into_iter().filter_map(neighbour).collect())
}

fn words(row: &Value, cores: f64) -> String {
    let figure = |name: &str| row[name].as_f64().unwrap_or_default();
    format!(
        "at most {:.2} cores wanted at once, {} of {} moments above {cores}",
        figure("most"),
        figure("scarce"),
        figure("moments")
    )
}

/// What one more core is worth, and what it costs.
fn price(row: &Value, cores: f64, core_month: f64) -> String {
    let figure = |name: &str| row[name].as_f64().unwrap_or_default();
    let (late, with_more) = (figure("late"), figure("late_with_more"));
    if late <= 0.0 {
        return format!("{}: nothing would have been late, and one more core brings nothing", words(row, cores));
    }
    format!(
        "{}: {late:.1} of {:.0} core-hours late in 30 days; one more core makes {:.1} of them in time for {core_month:.2} a \
         month ({:.2} for each)",
        words(row, cores),
        figure("core_hours"),
        late - with_more,
        core_month / (late - with_more).max(0.01)
    )
}

/// Whether the memory of all together fits.
async fn memory(ground: &Ground<'_>, names: &[String], bins: Option<&String>) -> Result<Option<Note>, Failure> {
    let Some(budget) = ground.budget.memory_bytes.filter(|_| !names.is_empty()) else { return Ok(None) };
    let bins = match bins {
        Some(bins) => bins.clone(),
        None => self::bins(ground, names).await?,
    };
    let rows = ground.session.query(&totals(&bins, f64::from(u16::MAX))).await?.to_json()?;
    let Some(most) = rows.first().and_then(|row| row["memory"].as_f64()) else { return Ok(None) };
    let (most_words, budget_words) = (format_bytes(most), format_bytes(budget as f64));
    let what = if most > budget as f64 {
        let more = format_bytes(most - budget as f64);
        format!(
            "memory: {most_words} were used at once, {more} more than the budget of {budget_words}; weights do not help"
        )
    } else {
        format!("memory: at most {most_words} of {budget_words} were used at once")
    };
    Ok(Some(note(what)))
}

fn note(what: String) -> Note {
    Note { resource: None, what: format!("budget, {what}") }
}

#[cfg(test)]
mod tests {
    use super::*;
    use domain::units::GIB;
    use serde_json::json;

    #[test]
    fn a_budget_names_cpu_or_memory_and_a_core_has_a_price_where_work_is_late() {
        let budget = parse_budget("cpu=16,memory=64GiB").unwrap();
        assert_eq!(budget, State { cpu_cores: Some(16.0), memory_bytes: Some(64 * GIB) });
        for wrong in ["", "16", "cpu=many", "disk=1", "memory=0", "cpu=1e300"] {
            assert!(parse_budget(wrong).unwrap_err().contains("cpu=16,memory=64GiB"), "{wrong}");
        }
        let row =
            json!({"moments": 100, "most": 9.5, "core_hours": 200.0, "late": 12.0, "late_with_more": 4.0, "scarce": 7});
        let said = price(&row, 8.0, 22.0);
        assert!(
            said.contains("7 of 100 moments above 8") && said.contains("makes 8.0 of them in time for 22.00"),
            "{said}"
        );
        let none =
            json!({"moments": 100, "most": 3.5, "core_hours": 200.0, "late": 0.0, "late_with_more": 0.0, "scarce": 0});
        assert!(price(&none, 8.0, 22.0).contains("one more core brings nothing"));
    }
}
