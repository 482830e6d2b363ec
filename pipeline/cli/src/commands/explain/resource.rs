//! A resource on one page: what held it up, which processes were heaviest, what came just before, and what another limit
//! would have removed, each with the rows it rests on.

use crate::commands::report::time;
use crate::context::{Answer, Context};
use crate::failure::Failure;
use domain::Timestamp;
use domain::time::HOUR;
use domain::units::{format_bytes, round_bytes, round_cores};
use lake::Session;
use learn::shadow::Measure;
use serde_json::{Value, json};

const KNOWN: &str = "select resource from marts.usage where resource = $resource limit 1";

/// Minutes of the last four weeks with data in which each thing held it up, and what its worst sample was.
const CONTENDED: &str = "
    with newest as (
        select max(ts) as ts from marts.usage where resource = $resource and ts <= (select now from session.clock)
    ),

    samples as (
        select u.*
        from marts.usage u
        cross join newest n
        where u.resource = $resource and u.ts <= n.ts and u.ts > n.ts - interval '28 days'
    )

    select
        sum(interval_s) / 60.0 as minutes,
        min(ts) as first,
        max(ts) as last,
        sum(case when coalesce(throttled_ratio, 0) >= 0.25 or coalesce(cpu_share, 0) >= 0.95
            then interval_s end) / 60.0 as cpu,
        sum(case when coalesce(oom_kills, 0) > 0 or coalesce(psi_memory_some, 0) >= 0.1 or coalesce(memory_share, 0) >= 0.98
            then interval_s end) / 60.0 as memory,
        sum(case when coalesce(psi_io_some, 0) >= 0.1 and coalesce(psi_memory_some, 0) < 0.1
            then interval_s end) / 60.0 as io,
        sum(case when coalesce(psi_cpu_some, 0) >= 0.1 and coalesce(throttled_ratio, 0) < 0.25 and coalesce(cpu_share, 0) < 0.95
            then interval_s end) / 60.0 as waiting,
        sum(coalesce(oom_kills, 0)) as oom_kills,
        last_value(cpu_limit_cores order by ts) filter (where cpu_limit_cores is not null) as cpu_limit_cores,
        last_value(memory_limit_bytes order by ts) filter (where memory_limit_bytes is not null) as memory_limit_bytes,
        max(cpu_cores) as cpu_peak,
        max(coalesce(greatest(memory_bytes, memory_peak_bytes), memory_bytes, memory_peak_bytes)) as memory_peak
    from samples";

/// Network has no stall of its own: hours near the most it ever moved, with the processor at rest.
const NETWORK: &str = "
    with hours as (
        select
            date_trunc('hour', ts) as hour,
            sum(coalesce(net_rx_bytes, 0) + coalesce(net_tx_bytes, 0)) as bytes,
            avg(coalesce(cpu_share, 0)) as cpu_share
        from marts.usage
        where resource = $resource and ts <= (select now from session.clock)
            and ts > (select now from session.clock) - interval '60 days'
        group by date_trunc('hour', ts)
    )

    select sum(case when bytes >= 0.9 * most and cpu_share < 0.3 then 60.0 end) as network
    from hours
    cross join (select max(bytes) as most, median(bytes) as usual from hours) m
    where most > 3 * usual and usual > 0";

/// Whether a sample shows the bottleneck `$what`.
macro_rules! shows {
    () => {
        "        and case $what
            when 'cpu' then coalesce(throttled_ratio, 0) >= 0.25 or coalesce(cpu_share, 0) >= 0.95
            when 'memory' then coalesce(oom_kills, 0) > 0 or coalesce(psi_memory_some, 0) >= 0.1 or coalesce(memory_share, 0) >= 0.98
            when 'io' then coalesce(psi_io_some, 0) >= 0.1 and coalesce(psi_memory_some, 0) < 0.1
            when 'waiting' then coalesce(psi_cpu_some, 0) >= 0.1
            else false
        end"
    };
}

const EVIDENCE: &str = concat!(
    "
    select ts, interval_s, cpu_cores, cpu_limit_cores, throttled_ratio, memory_bytes, memory_limit_bytes, oom_kills,
        psi_cpu_some, psi_memory_some, psi_io_some, event_id
    from marts.usage
    where resource = $resource and ts <= (select now from session.clock)
",
    shows!(),
    "
    order by coalesce(oom_kills, 0) desc, ts desc
    limit 5"
);

/// When the newest spell of it began: its first sample after a day without.
const BEGAN: &str = concat!(
    "
    with held as (
        select ts
        from marts.usage
        where resource = $resource and ts <= (select now from session.clock)
",
    shows!(),
    "
    ),

    gaps as (select ts, lag(ts) over (order by ts) as before from held)

    select max(ts) as began from gaps where before is null or ts - before > interval '24 hours'"
);

const PROCESSES: &str = "
    select
        json_get_str(top_process, 'name') as name,
        count(*) as samples,
        max(json_get_float(top_process, 'cpu_cores')) as cpu_cores,
        max(json_get_float(top_process, 'memory_bytes')) as memory_bytes
    from staging.events
    where type = 'usage' and resource = $resource and top_process is not null and ts <= (select now from session.clock)
        and ts > (select now from session.clock) - interval '60 days'
    group by json_get_str(top_process, 'name')
    order by samples desc, name
    limit 5";

/// What changed in the two days before: of the resource, its environment, or the repositories that run there.
const BEFORE: &str = "
    with repos as (
        select distinct repo from staging.events
        where repo is not null and (resource = $resource or env = split_part($resource, '/', 1))
            and type in ('command', 'test', 'ci_run', 'edit', 'usage')
    ),

    with_changes as (
        select ts, type, event_id, pr_id, repo, sha, action, result, resource, env, coalesce(message, title, '') as text
        from staging.events
        where type in ('adjustment', 'schedule', 'commit', 'push', 'pr')

        union all

        select
            at as ts, change as type, event_id, null as pr_id, repo, null as sha, null as action, result, resource,
            null as env, text
        from features.application_changes
    )

    select ts, type, event_id, pr_id, repo, sha, action, result, left(text, 80) as text
    from with_changes
    where ts <= arrow_cast($began, 'Timestamp(Microsecond, Some(\"UTC\"))')
        and ts > arrow_cast($began, 'Timestamp(Microsecond, Some(\"UTC\"))') - interval '48 hours'
        and (
            (type in ('adjustment', 'annotation', 'schedule', 'deployment', 'flag')
                and (resource = $resource or resource = split_part($resource, '/', 1)
                    or resource is null and env = split_part($resource, '/', 1)))
            or (type in ('commit', 'push', 'deployment') and repo in (select repo from repos))
            or (type = 'pr' and action in ('merged', 'opened') and repo in (select repo from repos))
        )
    order by ts desc, event_id
    limit 5";

/// What throttled samples would have used: what they got over the share of the periods in which they ran on. Memory above a
/// limit cannot be seen below it: services of the same name with more tell.
const DEMAND: &str = "
    select cpu_cores / greatest(1 - coalesce(throttled_ratio, 0), 0.1) as demand
    from marts.usage
    where resource = $resource and ts <= (select now from session.clock) and cpu_cores is not null
        and (coalesce(throttled_ratio, 0) >= 0.25 or coalesce(cpu_share, 0) >= 0.95)
    order by demand";

const KIN: &str = "
    select cast(coalesce(greatest(memory_bytes, memory_peak_bytes), memory_bytes) as double) as demand
    from marts.usage
    where split_part(resource, '/', 2) = split_part($resource, '/', 2) and split_part(resource, '/', 2) <> ''
        and ts <= (select now from session.clock)
        and memory_limit_bytes > arrow_cast($limit, 'Float64')
        and coalesce(greatest(memory_bytes, memory_peak_bytes), memory_bytes) >= 0.98 * arrow_cast($limit, 'Float64')
    order by demand";

/// Limits that are tried, as multiples of the present one; the first that removes nine tenths is told.
const TRIED: [f64; 6] = [1.25, 1.5, 2.0, 2.5, 3.0, 4.0];
const ENOUGH: f64 = 0.9;
/// Samples from which a counterfactual is told.
const FEWEST: usize = 5;

/// What the newest shadow inventory of the last day expects of one measure, from now on.
const EXPECTED: &str = "
    select
        avg(predicted_state[$measure]) as mean, max(daily_peak[$measure]) as peak, max(daily_peak_upper[$measure]) as peak_upper,
        max(models[$measure]) as model, max(confidences[$measure]) as confidence, max(last_updated) as as_of, count(*) as hours
    from predictions.shadow_inventory
    where resource_id = $resource and last_updated <= (select now from session.clock)
        and last_updated >= (select now from session.clock) - interval '24 hours'
        and at >= (select now from session.clock) - interval '1 hour' and predicted_state[$measure] is not null";

/// Whether the inventory has every measure: one that an older version wrote has not.
const HAS_MEASURES: &str = "
    select 1 from information_schema.columns
    where table_schema = 'predictions' and table_name = 'shadow_inventory' and column_name = 'models'";

/// What is expected of each measure that has a forecast.
async fn expected(session: &Session, name: &str) -> Result<Vec<Value>, Failure> {
    if session.query(HAS_MEASURES).await?.to_json()?.is_empty() {
        return Ok(Vec::new());
    }
    let mut all = Vec::new();
    for measure in Measure::ALL {
        let query = EXPECTED.replace("$measure", &format!("'{}'", measure.column()));
        for mut row in session.query_with(&query, &[("resource", name)]).await?.to_json()? {
            if row["mean"].is_number() {
                row["measure"] = json!(measure);
                all.push(row);
            }
        }
    }
    Ok(all)
}

/// A line for each measure that is expected.
fn show_expected(context: &Context, expected: &[Value]) {
    let Some(first) = expected.first() else { return };
    let as_of = time(&first["as_of"]).unwrap_or_default().minute();
    context.say(format!("expected    the next {} h, as of {as_of}", first["hours"]));
    context.say("            mean            peak            below           sure  led by");
    for row in expected {
        let Some(measure) = Measure::ALL.into_iter().find(|measure| row["measure"] == measure.column()) else {
            continue;
        };
        let amount = |column: &str| measure.amount(row[column].as_f64().unwrap_or_default());
        let mut models = row["model"].as_str().unwrap_or_default().split('+');
        let led = models.next().unwrap_or_default();
        let more = match models.count() {
            0 => String::new(),
            more => format!(" +{more}"),
        };
        context.say(format!(
            "  {:<10}{:<16}{:<16}{:<16}{:.2}  {led}{more}",
            measure.word(),
            amount("mean"),
            amount("peak"),
            amount("peak_upper"),
            row["confidence"].as_f64().unwrap_or_default()
        ));
    }
}

/// What held a resource up, in the words of people.
fn in_words(what: &str) -> &'static str {
    match what {
        "cpu" => "CPU: throttled, or at its limit",
        "memory" => "memory: killed, stalled, or at its limit",
        "io" => "I/O: tasks waited for a disk",
        "network" => "network: as much as ever, with the processor at rest",
        _ => "waiting: others had the processors",
    }
}

/// Explains a resource; none where nothing is called so.
pub(super) async fn explain(context: &Context, session: &Session, name: &str) -> Result<Option<Answer>, Failure> {
    let ask = async |query: &str, more: &[(&str, &str)]| -> Result<Vec<Value>, Failure> {
        let given = [&[("resource", name)], more].concat();
        Ok(session.query_with(query, &given).await?.to_json()?)
    };
    let expected = expected(session, name).await?;
    if !session.versions.contains_key("marts.usage") || ask(KNOWN, &[]).await?.is_empty() {
        // Of an environment or job there may be runs, and nothing that held it up.
        if expected.is_empty() {
            return Ok(None);
        }
        context.say(name);
        show_expected(context, &expected);
        return Ok(Some(Answer::done(json!({"resource": name, "expected": expected}))));
    }
    let held = ask(CONTENDED, &[]).await?.into_iter().next().unwrap_or_default();
    let network = ask(NETWORK, &[]).await?.into_iter().next().unwrap_or_default();
    let minutes = |what: &str| held[what].as_f64().or_else(|| network[what].as_f64()).unwrap_or_default();
    let mut bottlenecks: Vec<(&str, f64)> = ["memory", "cpu", "io", "network", "waiting"]
        .into_iter()
        .map(|what| (what, minutes(what)))
        .filter(|(_, minutes)| *minutes > 0.0)
        .collect();
    // One kill weighs more than an hour of waiting.
    let weight = |(what, minutes): &(&str, f64)| match *what {
        "memory" => minutes + 60.0 * held["oom_kills"].as_f64().unwrap_or_default(),
        "network" => minutes / 2.0,
        _ => *minutes,
    };
    bottlenecks.sort_by(|a, b| weight(b).total_cmp(&weight(a)));
    let first = bottlenecks.first().map_or("none", |(what, _)| what);
    let evidence = ask(EVIDENCE, &[("what", first)]).await?;
    let began = ask(BEGAN, &[("what", first)]).await?.first().and_then(|row| time(&row["began"]));
    let before = match began {
        Some(began) => ask(BEFORE, &[("began", &began.to_string())]).await?,
        None => Vec::new(),
    };
    let processes = ask(PROCESSES, &[]).await?;
    let counterfactual = match first {
        "cpu" => tried(&ask(DEMAND, &[]).await?, held["cpu_limit_cores"].as_f64(), "cpu_cores"),
        "memory" => {
            let limit = held["memory_limit_bytes"].as_f64();
            let text = format!("{}", limit.unwrap_or(f64::MAX));
            tried(&ask(KIN, &[("limit", &text)]).await?, limit, "memory_bytes")
        }
        _ => None,
    };
    let explained = Explained { name, held: &held, bottlenecks: &bottlenecks, began, minutes: &minutes };
    show(context, &explained, &evidence, &before, &processes, counterfactual.as_ref());
    show_expected(context, &expected);
    let each: Vec<Value> =
        bottlenecks.iter().map(|(what, minutes)| json!({"what": what, "minutes": minutes})).collect();
    Ok(Some(Answer::done(json!({
        "resource": name, "bottleneck": first, "bottlenecks": each, "figures": held, "began": began,
        "evidence": evidence, "before": before, "processes": processes, "counterfactual": counterfactual,
        "expected": expected,
    }))))
}

/// The smallest limit that would have removed nine tenths of the samples, or the largest that was tried.
fn tried(rows: &[Value], limit: Option<f64>, figure: &str) -> Option<Value> {
    let limit = limit.filter(|limit| *limit > 0.0)?;
    let demand: Vec<f64> = rows.iter().filter_map(|row| row["demand"].as_f64()).collect();
    if demand.len() < FEWEST {
        return None;
    }
    let round = |amount: f64| if figure == "cpu_cores" { round_cores(amount) } else { round_bytes(amount) as f64 };
    let removed = |amount: f64| demand.iter().filter(|demand| **demand <= amount).count() as f64 / demand.len() as f64;
    let amounts: Vec<f64> = TRIED.iter().map(|factor| round(limit * factor)).collect();
    let chosen = amounts.iter().copied().find(|amount| removed(*amount) >= ENOUGH).or(amounts.last().copied())?;
    Some(json!({
        "figure": figure, "limit": limit, "instead": chosen, "removed": removed(chosen), "samples": demand.len(),
    }))
}

/// What was found out, for showing.
struct Explained<'a> {
    name: &'a str,
    held: &'a Value,
    bottlenecks: &'a [(&'a str, f64)],
    began: Option<Timestamp>,
    minutes: &'a dyn Fn(&str) -> f64,
}

fn show(
    context: &Context,
    explained: &Explained<'_>,
    evidence: &[Value],
    before: &[Value],
    processes: &[Value],
    counterfactual: Option<&Value>,
) {
    let Explained { name, held, bottlenecks, began, minutes } = explained;
    let minute = |value: &Value| time(value).unwrap_or_default().minute();
    context.say(*name);
    context.say(format!(
        "  {:.0} h measured, {} to {}",
        minutes("minutes") / 60.0,
        minute(&held["first"]),
        minute(&held["last"])
    ));
    context.say("");
    match bottlenecks.first() {
        None => context.say("Nothing held it up."),
        Some((what, of)) => {
            context.say_wrapped("bottleneck  ", in_words(what), 12);
            let kills = held["oom_kills"].as_f64().unwrap_or_default();
            let kills = if kills > 0.0 { format!(", {kills:.0} OOM kills") } else { String::new() };
            let share = 100.0 * of / minutes("minutes").max(1.0);
            context.say(format!("            {of:.0} minutes, {share:.1} % of the time{kills}"));
        }
    }
    for (what, minutes) in bottlenecks.iter().skip(1) {
        context.say(format!("also        {what}: {minutes:.0} minutes"));
    }
    if let Some(instead) = counterfactual {
        let amount = |value: &Value| {
            let value = value.as_f64().unwrap_or_default();
            if instead["figure"] == "cpu_cores" { format!("{value:.2} cores") } else { format_bytes(value) }
        };
        let removed = instead["removed"].as_f64().unwrap_or_default() * 100.0;
        let words = format!(
            "{} instead of {} would have removed {removed:.0} % of the stalls ({} samples)",
            amount(&instead["instead"]),
            amount(&instead["limit"]),
            instead["samples"]
        );
        context.say_wrapped("instead     ", &words, 12);
    }
    for (n, process) in processes.iter().enumerate() {
        let lead = if n == 0 { "processes   " } else { "            " };
        let cores = process["cpu_cores"].as_f64().map(|cores| format!("{cores:.2} cores"));
        let bytes = process["memory_bytes"].as_f64().map(format_bytes);
        let most: Vec<String> = cores.into_iter().chain(bytes).collect();
        let name = process["name"].as_str().unwrap_or("?");
        let words = format!("{name}: heaviest in {} samples, up to {}", process["samples"], most.join(", "));
        context.say_wrapped(lead, &words, 12);
    }
    if let Some(began) = began {
        context.say(format!("began       {}", began.minute()));
        if before.is_empty() {
            context.say("            nothing is known of the two days before");
        }
        for (n, event) in before.iter().enumerate() {
            let lead = if n == 0 { "before it   " } else { "            " };
            let hours = (began.0 - time(&event["ts"]).unwrap_or_default().0) as f64 / HOUR as f64;
            let text = |name: &str| event[name].as_str().unwrap_or_default();
            let which = [text("pr_id"), text("sha"), text("action"), text("text")];
            let which: Vec<&str> = which.into_iter().filter(|text| !text.is_empty()).collect();
            context.say_wrapped(lead, &format!("{hours:.1} h: {} {}", text("type"), which.join(" ")), 12);
        }
    }
    for (n, row) in evidence.iter().enumerate() {
        let lead = if n == 0 { "evidence    " } else { "            " };
        let shown = |name: &str, unit: &str| row[name].as_f64().map(|value| format!("{name} {value:.2}{unit}"));
        let figures = [
            shown("throttled_ratio", ""),
            shown("psi_memory_some", ""),
            shown("psi_io_some", ""),
            row["oom_kills"].as_f64().filter(|kills| *kills > 0.0).map(|kills| format!("{kills:.0} OOM kills")),
            shown("cpu_cores", ""),
            row["memory_bytes"].as_f64().map(|bytes| format!("memory {}", format_bytes(bytes))),
        ];
        let figures: Vec<String> = figures.into_iter().flatten().collect();
        context.say_wrapped(lead, &format!("{}  {}", minute(&row["ts"]), figures.join(", ")), 12);
    }
}
