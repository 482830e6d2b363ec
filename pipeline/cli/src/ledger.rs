//! The ledger in the lake: read, proven, added to, and asked who may do what.
//!
//! It is the only authority: an approval counts because an entry sealed with the lake's key says so, whatever other files
//! of the lake say.

use crate::context::{Context, person};
use crate::failure::{Exit, Failure};
use domain::Timestamp;
use domain::ledger::{self, Entry, Head, Signature, UNSEALED};
use domain::plan::{Plan, is_plan_id};
use domain::privacy::Privacy;
use lake::{Lake, LakeError, Races, Writing};
use std::collections::BTreeSet;

const FOLDER: &str = "journal/ledger";
const HEAD: &str = "journal/head.json";

/// A ledger that was proven: unbroken, sealed with the lake's key, and whole to its end.
pub struct Ledger {
    /// In order.
    pub entries: Vec<Entry>,
}

/// Something that is done to a plan.
pub struct Act<'a> {
    /// The plan.
    pub plan: &'a Plan,
    /// `plan`, `what-if`, `despite`, `approve`, `expire`, `apply`, `switch` (to the limits of a calendar), `advance` (a step of a rollout), `revert` (an apply that
    /// failed and took back what it had done), `rollback`.
    pub action: &'a str,
    /// The items it touches.
    pub items: &'a [String],
    /// What came of it, in words.
    pub result: &'a str,
}

/// How many entries are read at a time: object stores answer many as fast as one.
const AT_ONCE: usize = 32;

/// The entries as they are, in order, proven or not.
pub async fn entries(lake: &Lake) -> Result<Vec<Entry>, Failure> {
    let names = lake.names(FOLDER).await?;
    let names: Vec<&String> = names.iter().filter(|name| name.ends_with(".json")).collect();
    let mut entries = Vec::new();
    for some in names.chunks(AT_ONCE) {
        let reading: Vec<_> = some
            .iter()
            .map(|name| {
                let (lake, path) = (lake.clone(), format!("{FOLDER}/{name}"));
                tokio::spawn(async move { lake.document::<Entry>(&path).await })
            })
            .collect();
        for read in reading {
            entries.extend(read.await.map_err(|error| Failure::new(Exit::Failed, error.to_string()))??);
        }
    }
    Ok(entries)
}

/// The ids of the plans and journals in the lake.
async fn plan_ids(lake: &Lake) -> Result<Vec<String>, Failure> {
    let mut names = lake.names("plans").await?;
    names.extend(lake.names("journal").await?.iter().filter_map(|name| name.strip_suffix(".json").map(str::to_owned)));
    names.retain(|name| is_plan_id(name));
    Ok(names)
}

impl Ledger {
    /// Reads and proves it: nothing is done that could not be written down.
    pub async fn proven(lake: &Lake, privacy: &Privacy) -> Result<Self, Failure> {
        // The entries last: what another process adds meanwhile is entered before the head and the plan are written.
        let there = plan_ids(lake).await?;
        let head: Option<Head> = lake.document(HEAD).await?;
        let entries = entries(lake).await?;
        ledger::verify(&entries, head.as_ref(), privacy).map_err(|(seq, why)| {
            let hint = match why {
                UNSEALED => "an earlier version of the program wrote it, or somebody else: look at `pipeline log`, and where all is right say so with `pipeline log seal`",
                _ => "`pipeline log verify` shows it; restore journal/ of the lake from a backup",
            };
            Failure::new(Exit::Refused, format!("the ledger is broken at entry {seq}: {why}")).hint(hint)
        })?;
        let ledger = Self { entries };
        ledger.covers(&there)?;
        Ok(ledger)
    }

    /// Whatever plans and journals are in the lake, the ledger knows: nobody emptied it.
    fn covers(&self, there: &[String]) -> Result<(), Failure> {
        let known: BTreeSet<&str> = self.entries.iter().map(|entry| entry.plan_id.as_str()).collect();
        match there.iter().find(|id| !known.contains(id.as_str())) {
            None => Ok(()),
            Some(id) => Err(Failure::new(
                Exit::Refused,
                format!("the ledger is broken: {id} is in the lake, and no entry says that it was made"),
            )
            .hint("restore journal/ of the lake from a backup")),
        }
    }

    /// The hash of the last entry; empty where there is none.
    pub fn head(&self) -> &str {
        self.entries.last().map_or("", |entry| entry.hash.as_str())
    }

    /// What the last plan was told apart by, where it was entered at this very moment and its maker ended before the
    /// lake had all of it: the same plan again finishes it.
    pub async fn broken_off(
        &self,
        context: &Context,
        lake: &Lake,
        writing: &Writing,
    ) -> Result<Option<String>, Failure> {
        let Some((last, before)) = self.entries.split_last() else { return Ok(None) };
        // In this order: a maker that is gone after its entry was read has written all that it ever will.
        if last.action != "plan" || last.at != context.now || writing.is_beside("plan").await? {
            return Ok(None);
        }
        let is_written = lake.document::<Plan>(&format!("plans/{}/plan.json", last.plan_id)).await?.is_some();
        let is_whole = is_written && lake.has_plan_items(&last.plan_id, context.now).await?;
        Ok((!is_whole).then(|| before.last().map_or_else(String::new, |entry| entry.hash.clone())))
    }

    /// The entry that says that this lake made exactly this plan.
    pub fn made(&self, plan: &Plan) -> Result<&Entry, Failure> {
        let made = |entry: &&Entry| entry.action == "plan" && entry.plan_id == plan.plan_id;
        match self.entries.iter().find(made) {
            Some(entry) if entry.plan_digest == plan.digest => Ok(entry),
            Some(_) => Err(Failure::new(Exit::Refused, format!("this lake made another version of {}", plan.plan_id))
                .hint("make a new plan; to change what it does use `pipeline plan --override`")),
            None => Err(Failure::new(Exit::Refused, format!("this lake never made {}", plan.plan_id))
                .hint("make a plan with `pipeline plan` on this lake, or give the lake that made it with --lake")),
        }
    }

    /// The items of this plan that a person said yes to, and who and when.
    pub fn approved(&self, plan: &Plan) -> Vec<String> {
        self.approved_where(plan, &|_| true)
    }

    /// Those of them that were approved in an entry that will do.
    pub fn approved_where(&self, plan: &Plan, will_do: &dyn Fn(&Entry) -> bool) -> Vec<String> {
        let approvals = || {
            let of_plan = |entry: &&Entry| entry.plan_id == plan.plan_id && entry.plan_digest == plan.digest;
            self.entries.iter().filter(of_plan).filter(|entry| entry.action == "approve" && will_do(entry))
        };
        let ids = plan.changes().map(|item| item.id.clone());
        ids.filter(|id| approvals().any(|entry| entry.items.contains(id))).collect()
    }

    /// The critical findings of the last `what-if` over this plan that no person set aside.
    pub fn standing(&self, plan: &Plan) -> Vec<String> {
        let of_plan = |entry: &&Entry| entry.plan_id == plan.plan_id && entry.plan_digest == plan.digest;
        let Some(last) = self.entries.iter().rev().filter(of_plan).find(|entry| entry.action == "what-if") else {
            return Vec::new();
        };
        let despite = |id: &&String| {
            self.entries.iter().filter(of_plan).any(|entry| entry.action == "despite" && entry.items.contains(id))
        };
        last.items.iter().filter(|id| !despite(id)).cloned().collect()
    }

    /// Whether an action was the last of `apply` and `rollback` that was carried out.
    pub fn tells(&self, plan: &Plan, action: &str) -> bool {
        done(&self.entries, plan).is_some_and(|entry| entry.action == action)
    }

    /// Refuses to act on a plan at a time that is not the time: a plan made by a clock is acted on by the clock, one
    /// made at a fixed `--now` (a rehearsal) also at a fixed one, but never earlier than what was done to it already.
    pub fn at_its_time(&self, context: &Context, plan: &Plan) -> Result<(), Failure> {
        let made = self.made(plan)?;
        if !context.fixed_clock {
            return Ok(());
        }
        if !made.fixed_clock {
            return Err(Failure::new(Exit::Refused, format!("{} was not made at a fixed --now", plan.plan_id))
                .hint("leave --now out: only a rehearsal, whose plan was made with --now, is acted on with it"));
        }
        let last = self.entries.iter().rev().find(|entry| entry.plan_id == plan.plan_id).unwrap_or(made);
        if context.now < last.at {
            return Err(Failure::new(
                Exit::Refused,
                format!("--now {} is before {} of this plan, at {}", context.now, last.action, last.at),
            )
            .hint("time goes on: leave --now out, or give a later one"));
        }
        Ok(())
    }

    /// Refuses a plan that is past its time, or was found so once.
    pub fn in_time(&self, context: &Context, plan: &Plan) -> Result<(), Failure> {
        let found = self.entries.iter().any(|entry| entry.plan_id == plan.plan_id && entry.action == "expire");
        if found || context.now > plan.expires_at {
            return Err(Failure::new(Exit::Refused, format!("{} expired at {}", plan.plan_id, plan.expires_at))
                .hint("make a new plan from today's data"));
        }
        Ok(())
    }
}

/// The last that was carried out of a plan.
fn done<'a>(entries: &'a [Entry], plan: &Plan) -> Option<&'a Entry> {
    entries.iter().rev().find(|e| e.plan_id == plan.plan_id && matches!(e.action.as_str(), "apply" | "rollback"))
}

/// Whether the ledger says it already: what happened once has one entry. A yes of another person is another yes.
fn is_told(entries: &[Entry], act: &Act<'_>, who: &str, signature: Option<&Signature>) -> bool {
    match act.action {
        "approve" => entries.iter().any(|entry| {
            let of_plan = entry.plan_id == act.plan.plan_id && entry.plan_digest == act.plan.digest;
            let same = entry.who == who && entry.items == act.items && entry.signature.as_ref() == signature;
            of_plan && entry.action == act.action && same
        }),
        // Only the last counts: the same findings after others are told again.
        "what-if" => {
            let last = entries.iter().rev().find(|e| e.plan_id == act.plan.plan_id && e.action == act.action);
            last.is_some_and(|entry| entry.items == act.items)
        }
        "advance" => {
            entries.iter().any(|e| e.plan_id == act.plan.plan_id && e.action == act.action && e.items == act.items)
        }
        "switch" => {
            entries.iter().any(|e| e.plan_id == act.plan.plan_id && e.action == act.action && e.result == act.result)
        }
        "apply" | "rollback" => done(entries, act.plan).is_some_and(|last| last.action == act.action),
        "plan" | "expire" | "revert" => entries.iter().any(|e| e.plan_id == act.plan.plan_id && e.action == act.action),
        _ => false,
    }
}

/// Adds an entry; false where the ledger says it already. Two writers never get the same number: the loser reads on and
/// takes the next.
pub async fn enter(context: &Context, lake: &Lake, privacy: &Privacy, act: Act<'_>) -> Result<bool, Failure> {
    enter_signed(context, lake, privacy, act, None).await
}

/// The same, of an approval that was signed.
pub async fn enter_signed(
    context: &Context,
    lake: &Lake,
    privacy: &Privacy,
    act: Act<'_>,
    signature: Option<Signature>,
) -> Result<bool, Failure> {
    let (mut races, who) = (Races::over("the ledger"), privacy.person(&person()));
    loop {
        let ledger = Ledger::proven(lake, privacy).await?;
        if is_told(&ledger.entries, &act, &who, signature.as_ref()) {
            // It may have been broken off before the head knew.
            if let Some(last) = ledger.entries.last() {
                raise_head(lake, privacy, last).await?;
            }
            return Ok(false);
        }
        if ledger.entries.is_empty() {
            match lake.create_document(HEAD, &Head::of_none(privacy)).await {
                Ok(()) | Err(LakeError::Exists(_)) => {}
                Err(error) => return Err(error.into()),
            }
        }
        let entry = Entry {
            seq: 0,
            at: context.now,
            action: act.action.to_owned(),
            plan_id: act.plan.plan_id.clone(),
            plan_digest: act.plan.digest.clone(),
            who: who.clone(),
            items: act.items.to_vec(),
            result: act.result.to_owned(),
            signature: signature.clone(),
            fixed_clock: context.fixed_clock,
            nonce: lake::unique(),
            prev: String::new(),
            hash: String::new(),
            seal: String::new(),
        }
        .after(ledger.entries.last(), privacy);
        match lake.create_document(&entry_path(&entry), &entry).await {
            Ok(()) => return raise_head(lake, privacy, &entry).await.map(|()| true),
            Err(LakeError::Exists(_)) => races.lose()?,
            Err(error) => return Err(error.into()),
        }
    }
}

/// Says how far the ledger goes, unless a later writer did.
async fn raise_head(lake: &Lake, privacy: &Privacy, entry: &Entry) -> Result<(), Failure> {
    let head: Option<Head> = lake.document(HEAD).await?;
    if head.is_none_or(|head| head.seq < entry.seq) {
        lake.write_document(HEAD, &Head::of(entry, privacy)).await?;
    }
    Ok(())
}

/// Seals the entries of earlier versions, which have none. One with a wrong seal, or without one behind one that has it,
/// is not of an earlier version: it is refused. How many were sealed.
pub async fn seal(lake: &Lake, privacy: &Privacy) -> Result<usize, Failure> {
    let broken = |(seq, why): (u64, &str)| {
        Failure::new(Exit::Refused, format!("the ledger is broken at entry {seq}: {why}"))
            .hint("restore journal/ of the lake from a backup")
    };
    let head: Option<Head> = lake.document(HEAD).await?;
    let found = entries(lake).await?;
    let old = found.iter().take_while(|entry| entry.seal.is_empty()).count();
    if let Some(forged) = found.iter().skip(if head.is_some() { 0 } else { old }).find(|entry| entry.seal.is_empty()) {
        return Err(broken((forged.seq, "it came after there were seals, and has none")));
    }
    let all: Vec<Entry> = found
        .iter()
        .map(|entry| if entry.seal.is_empty() { entry.clone().sealed(privacy) } else { entry.clone() })
        .collect();
    let head = head.or_else(|| all.last().map(|last| Head::of(last, privacy)));
    ledger::verify(&all, head.as_ref(), privacy).map_err(broken)?;
    Ledger { entries: all.clone() }.covers(&plan_ids(lake).await?)?;
    // The last first: after a kill, those without a seal are still the first.
    for entry in all[..old].iter().rev() {
        lake.write_document(&entry_path(entry), entry).await?;
    }
    if let Some(last) = all.last() {
        raise_head(lake, privacy, last).await?;
    }
    Ok(old)
}

fn entry_path(entry: &Entry) -> String {
    format!("{FOLDER}/{:08}.json", entry.seq)
}

/// When an entry of this plan was made, and by whom, in words.
pub fn by_whom(entry: &Entry, privacy: &Privacy) -> String {
    let you = if entry.who == privacy.person(&person()) { " (you)" } else { "" };
    let rehearsal = if entry.fixed_clock { ", at a fixed --now: a rehearsal" } else { "" };
    format!("{} by {}{you}{rehearsal}", Timestamp::minute(entry.at), entry.who)
}
