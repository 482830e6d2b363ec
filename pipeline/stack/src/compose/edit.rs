//! Changes limits in the text of a Compose file and proves that nothing else changed.
//!
//! Every single change is parsed again and compared with what the file meant before, aliases, merge keys and `extends`
//! resolved; a text that means more or less than what was asked is thrown away.

use super::figure::Figure;
use super::place::{Amount, Blocked, place};
use super::read::{Parsed, Reading, Service};
use super::value::Found;
use crate::StackError;
use domain::plan::State;
use std::collections::BTreeMap;

/// What every service shall have.
type Asked<'a> = BTreeMap<(&'a str, Figure), u64>;

/// The text with these services limited so; a figure missing in a state is left as it is. Everything else keeps its
/// bytes.
///
/// # Errors
/// [`StackError::Refused`] where a limit cannot be set without touching or guessing something else: it comes through
/// an alias, a merge key, a variable, a tag or `extends`; somebody shares it; a reservation is above it. Also where the
/// text is no Compose file.
pub fn edit(text: &str, changes: &[(&str, State)]) -> Result<String, StackError> {
    let mut parsed = Parsed::new(text)?;
    let asked = asked(&parsed, changes)?;
    // Services that share limits can only be changed together, and only through the one that has them: go round until
    // nothing more gives way.
    let mut waiting: Vec<(&str, Figure, u64)> =
        asked.iter().map(|((name, figure), amount)| (*name, *figure, *amount)).collect();
    while !waiting.is_empty() {
        let mut refused = Vec::new();
        let mut first = None;
        for (name, figure, amount) in &waiting {
            match set(&parsed, name, *figure, *amount, &asked) {
                Ok(Some(next)) => parsed = next,
                Ok(None) => {}
                Err(error) => {
                    refused.push((*name, *figure, *amount));
                    first.get_or_insert(error);
                }
            }
        }
        match first {
            Some(error) if refused.len() == waiting.len() => return Err(error),
            _ => waiting = refused,
        }
    }
    for ((name, figure), amount) in &asked {
        let now = parsed.service(name).map(|service| service.reading(*figure));
        if now != Some(Reading::Limit(*amount)) {
            return Err(refusal(name, format!("it would not have {}", figure.words(*amount)), "change it by hand"));
        }
    }
    Ok(parsed.text)
}

fn asked<'a>(parsed: &Parsed, changes: &[(&'a str, State)]) -> Result<Asked<'a>, StackError> {
    let mut asked = BTreeMap::new();
    for (name, state) in changes {
        if parsed.service(name).is_none() {
            let services: Vec<&str> = parsed.services().map(String::as_str).collect();
            let hint = format!("the file has {}", services.join(", "));
            return Err(StackError::Refused { service: (*name).to_owned(), what: "no such service".to_owned(), hint });
        }
        for figure in Figure::BOTH {
            let Some(amount) = figure.asked(*state) else { continue };
            if amount < figure.least() {
                let what = format!("{} is less than Docker takes", figure.words(amount));
                return Err(refusal(name, what, "ask for at least 0.01 cores and 6 MiB"));
            }
            if asked.insert((*name, figure), amount).is_some_and(|earlier| earlier != amount) {
                return Err(refusal(name, "two changes contradict each other".to_owned(), "keep one of them"));
            }
        }
    }
    Ok(asked)
}

/// The file with one figure set; none where it is already so.
fn set(
    parsed: &Parsed,
    name: &str,
    figure: Figure,
    amount: u64,
    asked: &Asked<'_>,
) -> Result<Option<Parsed>, StackError> {
    let Some(service) = parsed.service(name) else { return Ok(None) };
    let old = match service.reading(figure) {
        Reading::Limit(old) if old == amount => return Ok(None),
        Reading::Limit(old) => Some(old),
        Reading::Unlimited => None,
        Reading::Unknown(why) => {
            return Err(refusal(name, why, "write the limit as a plain amount, then make a new plan"));
        }
    };
    fits(&service, name, figure, amount, old)?;
    let (deploy, legacy) = (figure.deploy_path(), figure.legacy_path());
    let has = |path: &[&str]| service.value.at(path) != Found::Nothing;
    let paths: Vec<&[&str]> = match (has(&deploy), has(&legacy)) {
        (true, true) => vec![&legacy, &deploy],
        (true, false) => vec![&deploy],
        (false, true) => vec![&legacy],
        (false, false) if keeps_to_format_2(&service) => vec![&legacy],
        (false, false) => vec![&deploy],
    };
    let mut next: Option<Parsed> = None;
    for path in paths {
        let full: Vec<&str> = ["services", name].iter().chain(path).copied().collect();
        let current = next.as_ref().unwrap_or(parsed);
        let inherited = current.value.at(&full) == Found::Nothing && has(path);
        if inherited {
            let what = format!("its `{}` is inherited by `extends`", path.join("."));
            return Err(refusal(name, what, "write the limit out under the service itself, then make a new plan"));
        }
        let amount = Amount { figure, amount, legacy: path.len() == 1 };
        let texts = place(current, &full, &amount).map_err(|Blocked { what, hint }| refusal(name, what, hint))?;
        next = Some(proven(current, &texts, name, asked)?);
    }
    Ok(next)
}

/// The first of these texts that means what it should.
fn proven(old: &Parsed, texts: &[String], name: &str, asked: &Asked<'_>) -> Result<Parsed, StackError> {
    let mut side_effect = None;
    for text in texts {
        let Ok(new) = Parsed::new(text) else { continue };
        match beyond(old, &new, asked) {
            None => return Ok(new),
            Some(other) => {
                side_effect.get_or_insert(other);
            }
        }
    }
    Err(match side_effect {
        Some(other) => refusal(name, format!("it would also change {other}"), "give each of them limits of its own"),
        None => refusal(name, "the file is laid out in a way that is not understood".to_owned(), "change it by hand"),
    })
}

/// What the new text changes that nobody asked for.
fn beyond(old: &Parsed, new: &Parsed, asked: &Asked<'_>) -> Option<String> {
    let wanted = |path: &[String]| {
        let path: Vec<&str> = path.iter().map(String::as_str).collect();
        let ["services", name, rest @ ..] = path.as_slice() else { return false };
        Figure::BOTH.into_iter().any(|figure| {
            let ours = rest == figure.deploy_path() || rest == figure.legacy_path();
            let written = match new.value.at(&path) {
                Found::Scalar(text) => figure.read(text),
                _ => None,
            };
            ours && written.is_some() && written == asked.get(&(*name, figure)).copied()
        })
    };
    if let Some(path) = old.value.differences(&new.value).iter().find(|path| !wanted(path)) {
        return Some(format!("`{}`", path.join(".")));
    }
    let reading = |parsed: &Parsed, name: &str, figure| parsed.service(name).map(|service| service.reading(figure));
    for name in old.services() {
        for figure in Figure::BOTH {
            let (before, after) = (reading(old, name, figure), reading(new, name, figure));
            let amount = asked.get(&(name.as_str(), figure)).copied();
            // Where a service has both keys, they contradict each other until the second one is set.
            let ours = amount.is_some() && matches!(after, Some(Reading::Unknown(_)));
            if before != after && !ours && after != amount.map(Reading::Limit) {
                return Some(format!("`services.{name}`, which extends it"));
            }
        }
    }
    None
}

/// Docker refuses a limit below the reservation, and memory above memory plus swap.
fn fits(service: &Service, name: &str, figure: Figure, amount: u64, old: Option<u64>) -> Result<(), StackError> {
    let reservation = figure.reservation_path();
    let mut reservations: Vec<&[&str]> = vec![&reservation];
    if figure == Figure::Memory {
        reservations.push(&["mem_reservation"]);
    }
    let lowers = old.is_none_or(|old| amount < old);
    for path in reservations {
        let dotted = path.join(".");
        match service.one(figure, path) {
            Reading::Limit(reserved) if reserved > amount => {
                let what = format!("its `{dotted}` of {} is above {}", figure.words(reserved), figure.words(amount));
                return Err(refusal(name, what, "lower the reservation first, then make a new plan"));
            }
            Reading::Unknown(why) if lowers => {
                return Err(refusal(name, format!("{why}, and may be above the limit"), "write the reservation out"));
            }
            _ => {}
        }
    }
    let swap = ["memswap_limit"];
    let endless = service.value.at(&swap) == Found::Scalar("-1");
    if figure == Figure::Memory && !endless {
        match service.one(figure, &swap) {
            Reading::Limit(most) if most < amount => {
                let what = format!("its `memswap_limit` of {} is below {}", figure.words(most), figure.words(amount));
                return Err(refusal(name, what, "raise `memswap_limit` first, then make a new plan"));
            }
            Reading::Unknown(why) if old.is_none_or(|old| amount > old) => {
                return Err(refusal(name, format!("{why}, and may be below the limit"), "write `memswap_limit` out"));
            }
            _ => {}
        }
    }
    Ok(())
}

/// Whether the service sets its other limit by a key of format 2 and none by `deploy`.
fn keeps_to_format_2(service: &Service) -> bool {
    let has = |path: &[&str]| service.value.at(path) != Found::Nothing;
    Figure::BOTH.iter().any(|figure| has(&figure.legacy_path()))
        && !Figure::BOTH.iter().any(|figure| has(&figure.deploy_path()))
}

fn refusal(service: &str, what: String, hint: &str) -> StackError {
    StackError::Refused { service: service.to_owned(), what, hint: hint.to_owned() }
}
