//! Changes limits in the text of a Compose file and proves that nothing else changed.
//!
//! All that can be changed at once is; the new text is parsed again and compared with what the file meant before,
//! aliases, merge keys and `extends` resolved. Where it means more or less than what was asked, the change that is to
//! blame is found by halving and left out. So the work grows with the length of the file, not with its square.

use super::around::Surroundings;
use super::figure::{Amount, Figure};
use super::read::{Parsed, Project, Reading, Service};
use crate::StackError;
use crate::yaml::place::{Blocked, Splice, place, spliced};
use crate::yaml::value::Found;
use domain::plan::State;
use std::collections::BTreeMap;

/// What every service shall have.
type Asked<'a> = BTreeMap<(&'a str, Figure), u64>;

/// A figure of a service that cannot be set, and why.
pub(super) type Refused<'a> = (&'a str, Figure, StackError);

/// The text of a file on its own with these services limited so; a figure missing in a state is left as it is.
/// Everything else keeps its bytes.
///
/// # Errors
/// [`StackError::Refused`] where a limit cannot be set without touching or guessing something else: it comes through
/// an alias, a merge key, a variable, a tag or `extends`; somebody shares it; a reservation is above it. Also where the
/// text is no Compose file.
pub fn edit(text: &str, changes: &[(&str, State)]) -> Result<String, StackError> {
    let (edited, refused) = edit_around(text, &Surroundings::default(), changes)?;
    refused.into_iter().next().map_or(Ok(edited), |(_, _, error)| Err(error))
}

/// [`edit`] in a project, with whatever can be set set, and what cannot.
pub(super) fn edit_around<'a>(
    text: &str,
    around: &Surroundings,
    changes: &[(&'a str, State)],
) -> Result<(String, Vec<Refused<'a>>), StackError> {
    let parsed = Parsed::new(text)?;
    let (mut asked, mut refused) = asked(Project { parsed: &parsed, around }, changes);
    // What is left out may have been what made another change harmless: go round until all that remains holds.
    loop {
        let mut work = Work { around, asked: &asked, original: &parsed, current: None };
        let found = work.run();
        let text = work.current.map_or_else(|| parsed.text.clone(), |current| current.text);
        if found.is_empty() {
            return Ok((text, refused));
        }
        for (name, figure, _) in &found {
            asked.remove(&(*name, *figure));
            if *figure == Figure::Memory {
                asked.remove(&(*name, Figure::Swap));
            }
        }
        refused.extend(found);
    }
}

fn asked<'a>(project: Project<'_>, changes: &[(&'a str, State)]) -> (Asked<'a>, Vec<Refused<'a>>) {
    let mut asked = BTreeMap::new();
    let mut refused = Vec::new();
    for (name, state) in changes {
        let service = project.service(name).filter(|_| project.elsewhere(name).is_none());
        for figure in Figure::BOTH {
            let Some(amount) = figure.asked(*state) else { continue };
            let mut refuse = |what: String, hint: &str| refused.push((*name, figure, refusal(name, what, hint)));
            let Some(service) = &service else {
                match project.elsewhere(name) {
                    Some(file) => refuse(format!("it is defined in {file}"), "plan with that file as the target"),
                    None => {
                        let services: Vec<&str> = project.parsed.services().map(String::as_str).collect();
                        refuse("no such service".to_owned(), &format!("the file has {}", services.join(", ")));
                    }
                }
                continue;
            };
            if amount < figure.least() {
                let what = format!("{} is less than Docker takes", figure.words(amount));
                refuse(what, "ask for at least 0.01 cores and 6 MiB");
                continue;
            }
            if asked.insert((*name, figure), amount).is_some_and(|earlier| earlier != amount) {
                asked.remove(&(*name, figure));
                refuse("two changes contradict each other".to_owned(), "keep one of them");
                continue;
            }
            if figure == Figure::Memory
                && let Some(swap) = swap_beside(project, service, amount)
            {
                asked.insert((*name, Figure::Swap), swap);
            }
        }
    }
    (asked, refused)
}

/// What `memswap_limit`, memory and swap together, becomes beside a new memory limit: the swap stays as it is, so that
/// none is turned on by a lower limit.
fn swap_beside(project: Project<'_>, service: &Service, amount: u64) -> Option<u64> {
    let memory = project.reading(service, Figure::Memory);
    match (memory, project.reading(service, Figure::Swap)) {
        (Reading::Limit(memory), Reading::Limit(both)) if memory != amount => {
            Some(amount + both.saturating_sub(memory))
        }
        _ => None,
    }
}

/// A figure to be set, and how far the search for a place is.
struct Waiting<'a> {
    name: &'a str,
    figure: Figure,
    amount: u64,
    /// Proposals that did not hold.
    tried: usize,
    /// Whether it was written.
    set: bool,
    /// Why it cannot be set, so far.
    error: Option<StackError>,
}

/// Splices that belong together: one figure of one service.
struct Proposal {
    /// Its place among those that wait.
    of: usize,
    splices: Vec<Splice>,
}

struct Work<'a, 'b> {
    around: &'b Surroundings,
    asked: &'b Asked<'a>,
    original: &'b Parsed,
    /// The file as it is by now; none while nothing was set.
    current: Option<Parsed>,
}

impl<'a> Work<'a, '_> {
    fn project(&self) -> Project<'_> {
        Project { parsed: self.current.as_ref().unwrap_or(self.original), around: self.around }
    }

    /// Sets what can be set; what remains.
    ///
    /// Services that share limits can only be changed together, and only through the one that has them: go round until
    /// nothing more gives way.
    fn run(&mut self) -> Vec<Refused<'a>> {
        let plan = self.asked.iter().filter(|((_, figure), _)| *figure != Figure::Swap);
        let mut waiting: Vec<Waiting<'a>> = plan
            .map(|((name, figure), amount)| Waiting {
                name,
                figure: *figure,
                amount: *amount,
                tried: 0,
                set: false,
                error: None,
            })
            .collect();
        loop {
            let mut proposals: Vec<Proposal> = Vec::new();
            let mut rest = Vec::new();
            for mut one in waiting {
                match self.proposals(&one) {
                    Ok(None) => continue,
                    Ok(Some(_)) if one.set => {
                        let what = format!("it would not have {}", one.figure.words(one.amount));
                        one.error = Some(refusal(one.name, what, "change it by hand"));
                    }
                    Ok(Some(mut all)) if one.tried < all.len() => {
                        proposals.push(Proposal { of: rest.len(), splices: all.swap_remove(one.tried) });
                    }
                    Ok(Some(_)) => {}
                    Err(error) => one.error = Some(error),
                }
                rest.push(one);
            }
            waiting = rest;
            if proposals.is_empty() {
                return waiting
                    .into_iter()
                    .map(|one| (one.name, one.figure, one.error.unwrap_or_else(|| not_understood(one.name))))
                    .collect();
            }
            // What is there is replaced before anything is put in: others may get their share of it by a merge key.
            let replaces = |proposal: &Proposal| proposal.splices.iter().all(|splice| splice.to > splice.from);
            if proposals.iter().any(replaces) {
                proposals.retain(replaces);
            }
            self.carry_out(apart(proposals), &mut waiting);
        }
    }

    /// Sets what of these holds; the others are one try further.
    fn carry_out(&mut self, proposals: Vec<Proposal>, waiting: &mut [Waiting<'a>]) {
        let parts: Vec<&Proposal> = proposals.iter().collect();
        let mut good = Vec::new();
        self.sound(&parts, &mut good, waiting);
        // Each alone holds; should all together not, one is set now and the others in the next round.
        for set in [&good[..], &good[..good.len().min(1)]] {
            if let Ok(Some(parsed)) = self.proven(set) {
                self.current = Some(parsed);
                // What did not hold may hold now.
                waiting.iter_mut().for_each(|one| one.tried = 0);
                set.iter().for_each(|one| waiting[one.of].set = true);
                return;
            }
        }
    }

    /// Finds which of these hold: without those that are seen to be to blame, and by halving where nobody is.
    fn sound<'p>(&self, parts: &[&'p Proposal], good: &mut Vec<&'p Proposal>, waiting: &mut [Waiting<'a>]) {
        let effects = match self.proven(parts) {
            Ok(_) => return good.extend(parts),
            Err(effects) => effects,
        };
        let fault = |part: &Proposal| {
            let waits = &waiting[part.of];
            effects.iter().find(|effect| parts.len() == 1 || effect.is_of(part, waits.name, waits.figure))
        };
        let faults: Vec<Option<&SideEffect>> = parts.iter().map(|part| fault(part)).collect();
        let mut rest = Vec::new();
        for (part, fault) in parts.iter().zip(faults) {
            let waits = &mut waiting[part.of];
            if let Some(effect) = fault {
                let what = format!("it would also change {}", effect.what);
                waits.error = Some(refusal(waits.name, what, "give each of them limits of its own"));
            }
            if fault.is_some() || parts.len() == 1 {
                waits.tried += 1;
            } else {
                rest.push(*part);
            }
        }
        if rest.len() < parts.len() {
            if !rest.is_empty() {
                self.sound(&rest, good, waiting);
            }
            return;
        }
        let (left, right) = parts.split_at(parts.len() / 2);
        self.sound(left, good, waiting);
        self.sound(right, good, waiting);
    }

    /// The file with these in it where it means what it should; none where there are none. Otherwise what would also
    /// change: nothing that can be named where the new text cannot be read.
    fn proven(&self, parts: &[&Proposal]) -> Result<Option<Parsed>, Vec<SideEffect>> {
        if parts.is_empty() {
            return Ok(None);
        }
        let old = self.project();
        let mut splices: Vec<&Splice> = parts.iter().flat_map(|part| &part.splices).collect();
        splices.sort_by_key(|splice| splice.from);
        let new = Parsed::new(&spliced(&old.parsed.text, splices.into_iter())).map_err(|_| Vec::new())?;
        let effects = beyond(old, Project { parsed: &new, around: self.around }, self.asked);
        if effects.is_empty() { Ok(Some(new)) } else { Err(effects) }
    }

    /// How one figure could be set, best first; none where it is already so.
    fn proposals(&self, waiting: &Waiting<'a>) -> Result<Option<Vec<Vec<Splice>>>, StackError> {
        let (project, name, figure) = (self.project(), waiting.name, waiting.figure);
        let refused = |what, hint: &str| Err(refusal(name, what, hint));
        let Some(service) = project.service(name) else { return Ok(None) };
        let old = match project.reading(&service, figure) {
            Reading::Limit(old) if old == waiting.amount => return Ok(None),
            Reading::Limit(old) => Some(old),
            Reading::Unlimited => None,
            Reading::Unknown(why) => return refused(why, "write the limit as a plain amount, then make a new plan"),
        };
        self.fits(&service, waiting, old)?;
        let swap = self.asked.get(&(name, Figure::Swap)).filter(|_| figure == Figure::Memory);
        let mut sets = vec![(figure, waiting.amount, paths(&service, figure))];
        sets.extend(swap.map(|amount| (Figure::Swap, *amount, Figure::Swap.paths().to_vec())));
        let mut all: Vec<Vec<Splice>> = vec![Vec::new()];
        for (figure, amount, paths) in sets {
            for path in paths {
                let dotted = path.join(".");
                if let Some(file) = project.overridden(name, path) {
                    return refused(format!("{file} sets its `{dotted}`, and wins over this file"), "change it there");
                }
                let full: Vec<&str> = ["services", name].iter().chain(path).copied().collect();
                if project.parsed.value.at(&full) == Found::Nothing && service.value.at(path) != Found::Nothing {
                    let what = format!("its `{dotted}` is inherited by `extends` or from another file");
                    return refused(what, "write the limit out under the service itself, then make a new plan");
                }
                let amount = Amount { figure, amount, legacy: path.len() == 1 };
                let places = place(project.parsed.text(), &full, &amount)
                    .map_err(|Blocked { what, hint }| refusal(name, what, hint))?;
                let with = |splice: &Splice| {
                    all.iter().map(|set| [set.as_slice(), std::slice::from_ref(splice)].concat()).collect()
                };
                all = places.iter().flat_map(|splice| -> Vec<Vec<Splice>> { with(splice) }).collect();
            }
        }
        Ok(Some(all))
    }

    /// Docker refuses a limit below the reservation, and memory above memory plus swap.
    fn fits(&self, service: &Service, waiting: &Waiting<'_>, old: Option<u64>) -> Result<(), StackError> {
        let Waiting { name, figure, amount, .. } = *waiting;
        let project = self.project();
        let lowers = old.is_none_or(|old| amount < old);
        for path in figure.reservations() {
            let dotted = path.join(".");
            match project.one(service, figure, path) {
                Reading::Limit(reserved) if reserved > amount => {
                    let what =
                        format!("its `{dotted}` of {} is above {}", figure.words(reserved), figure.words(amount));
                    return Err(refusal(name, what, "lower the reservation first, then make a new plan"));
                }
                Reading::Unknown(why) if lowers => {
                    let what = format!("{why}, and may be above the limit");
                    return Err(refusal(name, what, "write the reservation out"));
                }
                _ => {}
            }
        }
        if figure != Figure::Memory {
            return Ok(());
        }
        match project.reading(service, Figure::Swap) {
            Reading::Unknown(why) => {
                let what = format!("{why}, and a new memory limit would change how much may be swapped");
                Err(refusal(name, what, "write `memswap_limit` out"))
            }
            Reading::Limit(both) if old.is_none() => {
                let what = format!("its `memswap_limit` of {} stands without a memory limit", figure.words(both));
                Err(refusal(name, what, "remove it, or write `mem_limit` beside it"))
            }
            Reading::Limit(both) if old.is_some_and(|old| both < old) => {
                let what = format!("its `memswap_limit` of {} is below its memory limit", figure.words(both));
                Err(refusal(name, what, "raise `memswap_limit` first, then make a new plan"))
            }
            _ => Ok(()),
        }
    }
}

/// Where a service has a limit, or would be given one.
fn paths(service: &Service, figure: Figure) -> Vec<&'static [&'static str]> {
    let has = |path: &&'static [&'static str]| service.value.at(path) != Found::Nothing;
    let present: Vec<&[&str]> = figure.paths().iter().copied().filter(has).collect();
    // The keys of format 2 where the service sets its other limit so, and none by `deploy`.
    let others = |i: usize| Figure::BOTH.iter().filter_map(move |figure| figure.paths().get(i).copied());
    let old = others(1).any(|path| has(&path)) && !others(0).any(|path| has(&path));
    if present.is_empty() { figure.paths().iter().copied().skip(usize::from(old)).take(1).collect() } else { present }
}

/// Of these, in the order of the file, those that do not stand in each other's way.
fn apart(mut proposals: Vec<Proposal>) -> Vec<Proposal> {
    let first = |proposal: &Proposal| proposal.splices.iter().map(|splice| splice.from).min();
    proposals.sort_by_key(first);
    let mut taken: BTreeMap<usize, usize> = BTreeMap::new();
    proposals.retain(|proposal| {
        let free = proposal.splices.iter().all(|splice| {
            let before = taken.range(..=splice.to).next_back();
            before.is_none_or(|(from, to)| *to < splice.from && *from < splice.from)
        });
        if free {
            taken.extend(proposal.splices.iter().map(|splice| (splice.from, splice.to)));
        }
        free
    });
    proposals
}

/// Something that would change and that nobody asked for.
struct SideEffect {
    what: String,
    figure: Option<Figure>,
    /// Bytes that are also meant where it shows: what an alias or a merge key leads to.
    shared: Vec<(usize, usize)>,
    /// The services that it comes from by `extends`.
    bases: Vec<String>,
}

impl SideEffect {
    /// Whether a proposal is seen to be to blame.
    fn is_of(&self, proposal: &Proposal, name: &str, figure: Figure) -> bool {
        let within = |splice: &Splice| self.shared.iter().any(|(from, to)| *from <= splice.from && splice.to <= *to);
        let figure_is = self.figure == Some(figure) || (self.figure, figure) == (Some(Figure::Swap), Figure::Memory);
        figure_is && (self.bases.iter().any(|base| base == name) || proposal.splices.iter().any(within))
    }
}

fn beyond(old: Project<'_>, new: Project<'_>, asked: &Asked<'_>) -> Vec<SideEffect> {
    let wanted = |path: &[String]| {
        let path: Vec<&str> = path.iter().map(String::as_str).collect();
        let ["services", name, rest @ ..] = path.as_slice() else { return false };
        Figure::ALL.into_iter().any(|figure| {
            let ours = figure.paths().contains(&rest);
            let written = match new.parsed.value.at(&path) {
                Found::Scalar(text) => figure.read(text),
                _ => None,
            };
            ours && written.is_some() && written == asked.get(&(*name, figure)).copied()
        })
    };
    let last = |path: &[String], figure: Figure| {
        figure.paths().iter().any(|ours| ours.last().copied() == path.last().map(String::as_str))
    };
    let mut effects = Vec::new();
    for path in old.parsed.value.differences(&new.parsed.value).into_iter().filter(|path| !wanted(path)) {
        effects.push(SideEffect {
            what: format!("`{}`", path.join(".")),
            figure: Figure::ALL.into_iter().find(|figure| last(&path, *figure)),
            shared: old.parsed.document.shared_along(&path),
            bases: Vec::new(),
        });
    }
    for name in old.parsed.services() {
        let (Some(before), Some(after)) = (old.service(name), new.service(name)) else { continue };
        for figure in Figure::ALL {
            let (before, after) = (old.reading(&before, figure), new.reading(&after, figure));
            let amount = asked.get(&(name.as_str(), figure)).copied();
            if before != after && amount.map(Reading::Limit) != Some(after) {
                effects.push(SideEffect {
                    what: format!("`services.{name}`, which extends it"),
                    figure: Some(figure),
                    shared: Vec::new(),
                    bases: old.parsed.bases(name),
                });
            }
        }
    }
    effects
}

fn not_understood(service: &str) -> StackError {
    let what = "the file is laid out in a way that is not understood".to_owned();
    refusal(service, what, "change it by hand")
}

fn refusal(service: &str, what: String, hint: &str) -> StackError {
    StackError::Refused { service: service.to_owned(), what, hint: hint.to_owned() }
}
