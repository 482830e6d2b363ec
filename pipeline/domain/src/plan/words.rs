//! What a plan says to its reader: why, on what evidence, and what to do.

use super::hold::{Figure, Hold};
use super::make::Known;
use super::seen::{FINE_INTERVAL_S, Leak, WEEK_HOURS};
use super::{Action, Candidate, Coming, Evidence, Recommendation};
use crate::Timestamp;
use crate::overrides::Applied;
use crate::state::State;
use crate::time::DAY;
use crate::units::{self, counted};

/// Where the guidance of a change turns from what to watch to how it is carried out.
const TAKES_EFFECT: &str = "takes effect";

/// When the new limits of a target of this kind are in force.
pub(super) fn takes_effect(kind: &str) -> &'static str {
    match kind {
        "docker" => "at once, without a restart",
        "compose" => "when the service is recreated: `apply --up`, or `docker compose up -d`",
        "kubernetes" => "when the manifests are applied: `kubectl apply`, or the controller that follows them",
        "devcontainer" => "when the environment is made anew",
        "exec" => "as its command says: the plan is done when `read` gives the new limits",
        _ => "where the limits are written: plan with `--target` to have them changed",
    }
}

/// What to watch or do first about a change, without how it is carried out.
pub(super) fn advice(guidance: &str) -> Option<&str> {
    guidance.split_once(&format!("; {TAKES_EFFECT} ")).map(|(advice, _)| advice)
}

/// All that the sentences about one resource are made of.
pub(super) struct Story<'a> {
    pub(super) candidate: &'a Candidate,
    /// The kind of the target that has it.
    pub(super) kind: &'a str,
    pub(super) known: Known,
    pub(super) action: Action,
    pub(super) before: State,
    /// Before a person's rule.
    pub(super) steady: State,
    pub(super) after: State,
    pub(super) applied: Option<&'a Applied>,
    pub(super) holds: &'a [Hold],
}

impl Story<'_> {
    /// Why the item is what it is.
    pub(super) fn reason(&self) -> String {
        let rule = self.applied.map(|applied| applied.rule.as_str());
        if rule == Some("freeze") || (rule == Some("pin") && self.steady == self.after) {
            return format!("{} by an override{}", if rule == Some("pin") { "pinned" } else { "frozen" }, self.why());
        }
        let seen = self.candidate.recommendation.as_ref();
        let mut parts = Vec::new();
        for figure in [Figure::Cpu, Figure::Memory] {
            parts.extend(self.ruled(figure).or_else(|| seen.and_then(|seen| self.changed(figure, seen))));
        }
        parts.extend(self.unknown());
        parts.extend(self.holds.iter().filter_map(|hold| self.held(hold)));
        if let Some(expected) = self.candidate.expected.as_ref().filter(|e| !e.schedule.is_empty())
            && self.action == Action::Resize
        {
            parts.push(format!("ahead of {}", expected.schedule.join(", ")));
        }
        parts.extend(self.ahead_of_runs());
        if parts.is_empty() {
            return "the limits fit what it uses".into();
        }
        parts.join("; ")
    }

    /// Which runs it is raised for: where they want more than the policy would give.
    fn ahead_of_runs(&self) -> Option<String> {
        let (coming, seen) = (self.candidate.coming.as_ref()?, self.candidate.recommendation.as_ref()?);
        let beyond =
            |wants: Option<f64>, policy: Option<f64>| wants.zip(policy).is_some_and(|(it, policy)| it > policy);
        let bytes = |state: State| state.memory_bytes.map(|bytes| bytes as f64);
        let for_memory = beyond(bytes(coming.demand), bytes(seen.target)) && self.moves(Figure::Memory);
        let for_cpu = beyond(coming.demand.cpu_cores, seen.target.cpu_cores) && self.moves(Figure::Cpu);
        (for_memory || for_cpu).then(|| format!("ahead of {}", coming.in_words()))
    }

    fn moves(&self, figure: Figure) -> bool {
        match figure {
            Figure::Cpu => self.before.cpu_cores != self.after.cpu_cores,
            Figure::Memory => self.before.memory_bytes != self.after.memory_bytes,
        }
    }

    /// What a reader should do or watch.
    pub(super) fn guidance(&self) -> String {
        let mut parts: Vec<String> = self.holds.iter().filter_map(|hold| self.advice(hold)).collect();
        match (self.action, self.known) {
            (Action::Resize, _) => {
                parts.push(format!("{TAKES_EFFECT} {}; undo with `pipeline rollback`", takes_effect(self.kind)));
            }
            (_, Known::Nothing) => {
                parts.push("record its usage first: `pipeline collect`, or send `usage` events".into())
            }
            (_, Known::TooLittle) => {
                parts.push("record it through a whole week, nights and weekend too, or pin it with an override".into());
            }
            (_, Known::Silent) => parts.push("is it still there, and does its collector run?".into()),
            _ => {}
        }
        parts.join("; ")
    }

    /// Why no policy speaks.
    fn unknown(&self) -> Option<String> {
        let seen = self.candidate.recommendation.as_ref();
        match (self.known, seen) {
            (Known::Nothing, _) => Some("no usage recorded".into()),
            (Known::TooLittle, Some(seen)) => {
                Some(format!("too little evidence: {}", seen.coverage.in_words(seen.samples)))
            }
            (Known::Silent, Some(seen)) => {
                Some(format!("silent since {}: nothing is known of it today", seen.newest.minute()))
            }
            _ => None,
        }
    }

    /// What a rule of a person did to one figure.
    fn ruled(&self, figure: Figure) -> Option<String> {
        let (before, steady, after) =
            (self.amount(figure, self.before), self.amount(figure, self.steady), self.amount(figure, self.after));
        let applied = self.applied.filter(|_| steady != after && !self.is_refused(figure))?;
        let bound = match (applied.rule.as_str(), after > steady) {
            ("pin", _) => "pin",
            (_, true) => "floor",
            (_, false) => "ceiling",
        };
        let name = figure.name();
        let mut text = match (before, after) {
            (Some(old), Some(new)) if new > old => format!("{name} is raised to the {bound} of an override"),
            (Some(old), Some(new)) if new < old => format!("{name} is lowered to the {bound} of an override"),
            (None, Some(_)) => format!("{name} gets the {bound} of an override as its limit"),
            _ => format!("{name} stays at the {bound} of an override"),
        };
        text.push_str(&self.why());
        let peak = self.candidate.recommendation.as_ref().and_then(|seen| self.amount(figure, seen.peak));
        if let Some(peak) = peak.filter(|peak| after.is_some_and(|after| after < *peak)) {
            let harm = if figure == Figure::Cpu { "throttling" } else { "OOM kills" };
            text.push_str(&format!(", below its peak of {}: expect {harm}", figure.in_words(peak)));
        }
        Some(text)
    }

    fn why(&self) -> String {
        self.applied.and_then(|applied| applied.reason.as_deref()).map_or(String::new(), |why| format!(" ({why})"))
    }

    /// Why the policy changes one figure.
    fn changed(&self, figure: Figure, seen: &Recommendation) -> Option<String> {
        let (before, after) = (self.amount(figure, self.before)?, self.amount(figure, self.after)?);
        let peak = self.amount(figure, seen.peak)?;
        let (name, of) = (figure.name(), format!("peak {} of {}", figure.in_words(peak), figure.in_words(before)));
        if after < before {
            let what = if peak * 2.0 <= before { "is idle" } else { "has room" };
            return Some(format!("{name} {what}: {of}"));
        }
        if after == before {
            return None;
        }
        let present = |at: Option<f64>| at.filter(|at| *at >= before * 0.999);
        Some(match figure {
            Figure::Cpu => match seen.throttled.as_ref().and_then(|held| Some((held, present(held.at(Some(before)))?)))
            {
                Some((held, at)) => format!(
                    "{name} is starved: throttled at {} during {:.0} % of the work of its worst day",
                    figure.in_words(at),
                    held.worst_day * 100.0
                ),
                None => format!("{name} is {}: {of}", short(peak, before)),
            },
            Figure::Memory => match (&seen.killed, &seen.squeezed) {
                (Some(killed), _) => {
                    let at = killed.at(self.before.memory_bytes).map(|at| units::format_bytes(at as f64));
                    let at = at.map_or(String::new(), |at| format!(" at {at}"));
                    let told = match killed.newest_unknown {
                        Some(_) => ", its limit now: no sample tells what it was then",
                        None => "",
                    };
                    format!("{name} is starved: {} OOM kills{at}{told}", killed.kills)
                }
                (None, Some(held)) if present(held.at).is_some() => format!(
                    "{name} is starved: at its limit of {}, its processes waited for memory in {:.0} % of the samples of its \
                     worst day",
                    figure.in_words(before),
                    held.worst_day * 100.0
                ),
                _ => format!("{name} is {}: {of}", short(peak, before)),
            },
        })
    }

    fn held(&self, hold: &Hold) -> Option<String> {
        let changed = |figure: Figure| self.amount(figure, self.before) != self.amount(figure, self.after);
        Some(match hold {
            Hold::NoLimit(figure) if self.ruled(*figure).is_none() => {
                format!("{} has no limit that can be read, and gets no new one", figure.name())
            }
            Hold::NoLimit(_) => return None,
            // A person's rule stands above what speaks against the policy.
            Hold::Peak(_) | Hold::Coarse { .. } if self.ruled(Figure::Cpu).is_some() => return None,
            Hold::CutOff { figure, .. } if self.ruled(*figure).is_some() => return None,
            // But not above its machine.
            Hold::Machine { figure, .. }
                if self.ruled(*figure).is_some()
                    && self.amount(*figure, self.after) != self.amount(*figure, self.candidate.machine.size) =>
            {
                return None;
            }
            Hold::Peak(_) if changed(Figure::Cpu) => return None,
            Hold::Peak(peak) => format!("CPU stays: it was seen at {}", Figure::Cpu.in_words(*peak)),
            Hold::Coarse { interval_s, cores } => {
                let samples = format!("samples of {:.0} min hide bursts", interval_s / 60.0);
                let minutes = FINE_INTERVAL_S / 60.0;
                if changed(Figure::Cpu) {
                    format!(
                        "{samples}: {} allow for all the work of one within {minutes:.0} min",
                        Figure::Cpu.in_words(*cores)
                    )
                } else {
                    format!("CPU stays: {samples}, up to {} within {minutes:.0} min", Figure::Cpu.in_words(*cores))
                }
            }
            Hold::CutOff { figure, newest } => {
                let what = if *figure == Figure::Cpu { "throttled" } else { "short of memory" };
                format!(
                    "{} stays: it was {what} until {}, what it wants is not known yet",
                    figure.name(),
                    newest.minute()
                )
            }
            Hold::Own { setting, needs, .. } => {
                let needs = units::format_bytes(*needs as f64);
                let verb = if changed(Figure::Memory) { "goes no lower" } else { "stays" };
                format!("memory {verb}: {setting} lets it take what needs {needs}")
            }
            Hold::OwnUnknown(setting) => format!("memory stays: what {setting} lets it take depends on a variable"),
            Hold::OwnAbove { setting, needs } => {
                format!("{setting} lets it take what needs {}", units::format_bytes(*needs as f64))
            }
            Hold::Machine { figure, told } => {
                let most = self.amount(*figure, self.candidate.machine.size).unwrap_or_default();
                let name = figure.name();
                let most = figure.in_words(most);
                if *told {
                    format!("{name} goes no higher: its machine has {most}")
                } else {
                    format!("{name} goes no higher: nothing larger than {most} was seen of its machine")
                }
            }
            Hold::Gate { ours, peers } => format!(
                "memory is not cut: on its own past the policy was over memory in {:.2} % of the samples, every peer in \
                 {:.2} % or less",
                ours * 100.0,
                peers * 100.0
            ),
            Hold::Leak(leak) if self.action == Action::FixLeak => leak_reason(leak, self.before),
            Hold::Leak(_) => "memory stays: it leaks".to_owned(),
            Hold::Growing(growth) => format!(
                "memory is not cut: it has grown by {} a day for {} days, to more than ever before",
                units::format_bytes(growth.bytes_per_day),
                growth.days
            ),
            Hold::Follows(plan_id) => {
                format!("its limits follow the calendar of {plan_id}: roll that back to plan anew")
            }
            Hold::Refused { figure, why } => format!("{} stays, the target would refuse: {why}", figure.name()),
        })
    }

    fn advice(&self, hold: &Hold) -> Option<String> {
        match hold {
            Hold::Own { setting, advice, .. } => {
                Some(format!("to give memory back, change {setting} first ({advice}), then plan again"))
            }
            Hold::OwnUnknown(setting) => Some(format!("write the value of {setting} out, then plan again")),
            Hold::OwnAbove { setting, needs } => Some(format!(
                "change {setting} to fit the limit, or pin the memory at {}",
                units::format_bytes(*needs as f64)
            )),
            Hold::Machine { told: false, .. } => Some("tell what its machine has with --nodes".to_owned()),
            Hold::Machine { told: true, .. } => Some("it needs a larger machine, or less to do".to_owned()),
            Hold::Leak(leak) if self.action == Action::FixLeak => {
                Some(leak_guidance(leak, self.before, self.candidate))
            }
            _ => None,
        }
    }

    fn is_refused(&self, figure: Figure) -> bool {
        self.holds.iter().any(|hold| matches!(hold, Hold::Refused { figure: refused, .. } if *refused == figure))
    }

    fn amount(&self, figure: Figure, state: State) -> Option<f64> {
        match figure {
            Figure::Cpu => state.cpu_cores,
            Figure::Memory => state.memory_bytes.map(|bytes| bytes as f64),
        }
    }
}

impl Figure {
    fn name(self) -> &'static str {
        match self {
            Self::Cpu => "CPU",
            Self::Memory => "memory",
        }
    }

    fn in_words(self, amount: f64) -> String {
        match self {
            Self::Cpu => format!("{amount:.2} cores"),
            Self::Memory => units::format_bytes(amount),
        }
    }
}

/// What to call a limit that is too low.
fn short(peak: f64, limit: f64) -> &'static str {
    if peak >= 0.9 * limit { "starved" } else { "tight" }
}

pub(super) fn leak_reason(leak: &Leak, limit: State) -> String {
    let full = match limit.memory_bytes {
        Some(limit) => format!(
            ", {} of {}; full in {:.0} days",
            units::format_bytes(leak.now_bytes as f64),
            units::format_bytes(limit as f64),
            leak.days_left(limit)
        ),
        None => format!(", now {}", units::format_bytes(leak.now_bytes as f64)),
    };
    let grows = units::format_bytes(leak.bytes_per_day);
    if leak.limits_filled > 1 {
        return format!(
            "memory grew until it filled each of its {} limits since {}: more memory is filled too{full}",
            leak.limits_filled,
            leak.since.date()
        );
    }
    let since = format!("over {} days, since {},", leak.days, leak.since.date());
    format!("memory grew by {grows} a day {since} and was not given back{full}")
}

pub(super) fn leak_guidance(leak: &Leak, limit: State, candidate: &Candidate) -> String {
    let restart = match limit.memory_bytes {
        Some(limit) => {
            format!("until then restart it at least every {:.0} days", (leak.days_left(limit) * 0.8).floor().max(1.0))
        }
        None => "until then restart it now and then".to_owned(),
    };
    let place = candidate.culprit.as_ref().map_or_else(String::new, |it| format!(" in {}", it.value));
    format!(
        "more memory only delays the kill: find what keeps it{place} (a heap profile, a cache without a bound); {restart}"
    )
}

pub(super) fn evidence(candidate: &Candidate, now: Timestamp) -> Vec<Evidence> {
    let mut list = Vec::new();
    let mut add = |what: &str, value: String, source: &str| {
        // The rows once: the figures that follow are of the same.
        let sql = (source == "marts.usage" && what == "samples").then(|| samples_sql(&candidate.resource));
        list.push(Evidence { what: what.into(), value, source: source.into(), sql });
    };
    if let Some(r) = &candidate.recommendation {
        add("samples", format!("{} over {:.1} days, newest {}", r.samples, r.days, r.newest), "marts.usage");
        let age = (now.0 - r.newest.0).max(0) as f64 / DAY as f64;
        add("newest sample", format!("{}, {age:.1} days old", r.newest.minute()), "marts.usage");
        let covered =
            format!("{:.0} hours, {} of the {WEEK_HOURS} hours of a week", r.coverage.hours, r.coverage.week_hours);
        add("time covered", covered, "marts.usage");
        if let Some(cpu) = r.peak.cpu_cores {
            add("peak CPU", format!("{cpu:.2} cores"), "marts.usage");
        }
        if let Some(burst) = r.burst.filter(|burst| burst.interval_s > FINE_INTERVAL_S) {
            add(
                "burst within one sample",
                format!("up to {:.2} cores in {:.0} s", burst.cores, burst.interval_s),
                "marts.usage",
            );
        }
        if let Some(memory) = r.peak.memory_bytes {
            add("peak memory", units::format_bytes(memory as f64), "marts.usage");
        }
        if r.oom_kills > 0 {
            add("OOM kills", r.oom_kills.to_string(), "marts.usage");
        }
        if let Some(leak) = &r.leak {
            add("memory growth", format!("{} a day", units::format_bytes(leak.bytes_per_day)), "marts.usage");
        }
        add("sizing rule", r.basis.clone(), "backtest");
    }
    for own in &candidate.own {
        add("configured memory", own.setting.clone(), "target");
    }
    if let Some(e) = &candidate.expected {
        add("forecast model", e.model.clone(), "predictions.shadow_inventory");
        for event in &e.schedule {
            add("scheduled event", event.clone(), "features.schedule");
        }
    }
    if let Some(coming) = &candidate.coming {
        add("demand of coming runs", coming.in_words(), "predictions.runs");
    }
    if let Some(p) = candidate.contention {
        add("chance that the next hour is contended", format!("{:.0} %", p * 100.0), "models/contention");
    }
    if let Some(past) = &candidate.replay_before {
        let value = format!(
            "CPU slack {:.0} %, throttled {:.2} %, memory slack {:.0} %, over memory {:.2} % of samples",
            past.cpu_slack * 100.0,
            past.throttled_rate * 100.0,
            past.memory_slack * 100.0,
            past.oom_rate * 100.0
        );
        add("present limits on the past days", value, "backtest");
    }
    list.extend(candidate.culprit.clone());
    list
}

impl Coming {
    /// `3 coming runs; the largest, api-tests, stays below 1.9 cores and 3.2 GiB nine times in ten`.
    fn in_words(&self) -> String {
        let cores = self.demand.cpu_cores.map(|cores| format!("{cores:.2} cores"));
        let memory = self.demand.memory_bytes.map(|bytes| units::format_bytes(bytes as f64));
        let wants = cores.into_iter().chain(memory).collect::<Vec<_>>().join(" and ");
        format!(
            "{}; the largest, {}, stays below {wants} nine times in ten",
            counted(self.runs, "coming run"),
            self.job
        )
    }
}

/// The samples of a resource.
fn samples_sql(resource: &str) -> String {
    format!(
        "select ts, cpu_cores, cpu_limit_cores, throttled_ratio, memory_bytes, memory_peak_bytes, memory_limit_bytes, \
         oom_kills from marts.usage where resource = {} order by ts",
        super::literal(resource)
    )
}
