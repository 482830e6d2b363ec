//! What limits cost once they lie on machines: money is saved by machines that are not needed, not by limits that shrink. Where a
//! target has requests, they are what lies on a machine: its scheduler goes by them.
//!
//! Vector bin packing, first fit by decreasing size (Panigrahy et al., 2011), from every kind of machine as the first choice; the
//! cheapest result counts, with each machine changed for the cheapest that holds what is on it. The same heuristic before
//! and after, so that its error is on both sides. Knows prices only from the file of machines.

use crate::nodes::{Node, Nodes};
use crate::overrides::matches;
use crate::plan::{Item, Note, Plan};
use crate::state::State;
use std::collections::BTreeMap;

/// Hours of a month, as clouds count them.
pub(crate) const MONTH_HOURS: f64 = 730.0;
/// More cuts than these are not tried one by one.
const MOST_TRIED: usize = 1000;

/// What lies on machines: a resource and one of its replicas.
#[derive(Clone, Copy, Debug)]
struct Piece<'a> {
    resource: &'a str,
    cpu_cores: f64,
    memory_bytes: f64,
}

/// A kind of machine with a price.
#[derive(Debug)]
struct Kind<'a> {
    node: &'a Node,
    cpu_cores: f64,
    memory_bytes: f64,
    price_hour: f64,
}

/// Machines and what they cost.
#[derive(Clone, Debug, PartialEq)]
pub struct Packed {
    /// How many of each kind.
    pub machines: BTreeMap<String, u32>,
    /// Of all of them.
    pub price_hour: f64,
    /// What lies on each.
    pub placed: Vec<Placed>,
}

/// A machine, and what lies on it.
#[derive(Clone, Debug, PartialEq)]
pub struct Placed {
    /// Its kind and number, as `large-2`.
    pub name: String,
    /// What it has.
    pub cpu_cores: f64,
    /// What it has.
    pub memory_bytes: f64,
    /// A name for each replica.
    pub resources: Vec<String>,
}

impl Packed {
    /// `2 × large, 1 × small`.
    pub fn in_words(&self) -> String {
        let each = self.machines.iter().map(|(name, count)| format!("{count} × {name}"));
        if self.machines.is_empty() { "no machine".to_owned() } else { each.collect::<Vec<_>>().join(", ") }
    }
}

/// What a plan saves on the machines of a file, for its readers; nothing where the file has no prices.
pub fn notes(plan: &Plan, nodes: &Nodes) -> Vec<Note> {
    let kinds = kinds(nodes);
    if kinds.is_empty() {
        return Vec::new();
    }
    let whole = |what: String| Note { resource: None, what };
    let mut seen = std::collections::BTreeSet::new();
    // Of a resource on several targets one counts.
    let items: Vec<&Item> = plan.items.iter().filter(|item| seen.insert(&item.resource)).collect();
    let (before, after) = (pieces(&items, Item::reserves_before), pieces(&items, Item::reserves_after));
    let mut notes = Vec::new();
    let unlimited = items.iter().filter(|item| !is_full(item.before) || !is_full(item.after)).count();
    if unlimited > 0 {
        notes.push(whole(format!("{unlimited} resources lack a limit, and are not packed")));
    }
    let (now, then) = match (pack(&before, &kinds), pack(&after, &kinds)) {
        (Ok(now), Ok(then)) => (now, then),
        (Err(resource), _) | (_, Err(resource)) => {
            notes.push(whole(format!(
                "the machines of the file do not hold {resource}: what the plan saves is not known"
            )));
            return notes;
        }
    };
    let saved = now.price_hour - then.price_hour;
    notes.push(whole(format!(
        "on the machines of the file: {} now at {:.2} an hour, {} after at {:.2}: {}",
        now.in_words(),
        now.price_hour,
        then.in_words(),
        then.price_hour,
        match saved {
            saved if saved.abs() < 0.005 => "no machine less, nothing is saved".to_owned(),
            saved => format!("{:+.2} a month", -saved * MONTH_HOURS),
        }
    )));
    for item in items.iter().filter(|item| is_cut(item) && is_full(item.before) && is_full(item.after)).take(MOST_TRIED)
    {
        let without = pieces(&items, |other| {
            if other.resource == item.resource { other.reserves_before() } else { other.reserves_after() }
        });
        if pack(&without, &kinds).is_ok_and(|packed| packed.price_hour <= then.price_hour + 1e-9) {
            let what = "saves nothing by itself: as many machines are needed without this cut".to_owned();
            notes.push(Note { resource: Some(item.resource.clone()), what });
        }
    }
    notes
}

/// The machines for resources with their limits and how many there are of each; resources that lack a limit are left out.
///
/// # Errors
/// The resource that no machine of the file holds; none is named where no machine has a price.
pub fn machines(resources: &[(&str, State, u32)], nodes: &Nodes) -> Result<Packed, String> {
    let mut pieces = Vec::new();
    for (resource, limits, replicas) in resources {
        let State { cpu_cores: Some(cpu_cores), memory_bytes: Some(memory_bytes) } = *limits else { continue };
        let piece = Piece { resource, cpu_cores, memory_bytes: memory_bytes as f64 };
        pieces.extend(std::iter::repeat_n(piece, *replicas as usize));
    }
    pack(&pieces, &kinds(nodes))
}

fn is_full(state: State) -> bool {
    state.cpu_cores.is_some() && state.memory_bytes.is_some()
}

fn is_cut(item: &Item) -> bool {
    let less =
        |before: Option<f64>, after: Option<f64>| before.zip(after).is_some_and(|(before, after)| after < before);
    let bytes = |state: State| state.memory_bytes.map(|bytes| bytes as f64);
    let (before, after) = (item.reserves_before(), item.reserves_after());
    less(before.cpu_cores, after.cpu_cores) || less(bytes(before), bytes(after))
}

/// The kinds that have a size and a price.
fn kinds<'a>(nodes: &'a Nodes) -> Vec<Kind<'a>> {
    let kind = |node: &'a Node| {
        let price_hour = node.price_hour?;
        let size = node.size()?;
        let (cpu_cores, memory_bytes) = (size.cpu_cores?, size.memory_bytes? as f64);
        Some(Kind { node, cpu_cores, memory_bytes, price_hour })
    };
    nodes.list.iter().filter_map(kind).collect()
}

/// The replicas of items with both limits, the largest first.
fn pieces<'a>(items: &[&'a Item], of: impl Fn(&Item) -> State) -> Vec<Piece<'a>> {
    let mut pieces = Vec::new();
    for item in items.iter().filter(|item| is_full(item.before) && is_full(item.after)) {
        let State { cpu_cores: Some(cpu_cores), memory_bytes: Some(memory_bytes) } = of(item) else { continue };
        let piece = Piece { resource: &item.resource, cpu_cores, memory_bytes: memory_bytes as f64 };
        pieces.extend(std::iter::repeat_n(piece, item.projected.replicas.unwrap_or(1) as usize));
    }
    pieces
}

/// An open machine.
struct Open<'a> {
    kind: usize,
    free_cores: f64,
    free_bytes: f64,
    holds: Vec<Piece<'a>>,
}

/// The cheapest packing that was found; the resource that fits nowhere otherwise.
fn pack(pieces: &[Piece<'_>], kinds: &[Kind<'_>]) -> Result<Packed, String> {
    let mut best: Option<Packed> = None;
    let mut unfit = String::new();
    for first in 0..kinds.len() {
        match pack_with(pieces, kinds, first) {
            Ok(packed) if best.as_ref().is_none_or(|best| packed.price_hour < best.price_hour - 1e-12) => {
                best = Some(packed);
            }
            Ok(_) => {}
            Err(resource) => unfit = resource,
        }
    }
    best.ok_or(unfit)
}

fn pack_with(pieces: &[Piece<'_>], kinds: &[Kind<'_>], first: usize) -> Result<Packed, String> {
    let (cores, bytes) = (kinds[first].cpu_cores.max(1e-9), kinds[first].memory_bytes.max(1.0));
    let mut pieces = pieces.to_vec();
    let size = |piece: &Piece<'_>| (piece.cpu_cores / cores).max(piece.memory_bytes / bytes);
    pieces.sort_by(|a, b| size(b).total_cmp(&size(a)).then(a.resource.cmp(b.resource)));
    let mut counts = vec![0_u32; kinds.len()];
    let mut open: Vec<Open<'_>> = Vec::new();
    for piece in pieces {
        let on = open.iter_mut().find(|machine| {
            takes(&kinds[machine.kind], &piece)
                && machine.free_cores >= piece.cpu_cores - 1e-9
                && machine.free_bytes >= piece.memory_bytes
        });
        let machine = match on {
            Some(machine) => machine,
            None => {
                let preferred = std::iter::once(first).chain((0..kinds.len()).filter(|kind| *kind != first));
                let kind = preferred.into_iter().find(|kind| {
                    let left = kinds[*kind].node.max.is_none_or(|max| counts[*kind] < max);
                    left && takes(&kinds[*kind], &piece) && holds(&kinds[*kind], piece.cpu_cores, piece.memory_bytes)
                });
                let Some(kind) = kind else { return Err(piece.resource.to_owned()) };
                counts[kind] += 1;
                let (free_cores, free_bytes) = (kinds[kind].cpu_cores, kinds[kind].memory_bytes);
                open.push(Open { kind, free_cores, free_bytes, holds: Vec::new() });
                open.last_mut().expect("one was put there")
            }
        };
        machine.free_cores -= piece.cpu_cores;
        machine.free_bytes -= piece.memory_bytes;
        machine.holds.push(piece);
    }
    for machine in &mut open {
        cheaper(machine, kinds, &mut counts);
    }
    let mut machines = BTreeMap::new();
    let mut price_hour = 0.0;
    for (kind, count) in kinds.iter().zip(&counts).filter(|(_, count)| **count > 0) {
        *machines.entry(kind.node.name.clone()).or_default() += count;
        price_hour += kind.price_hour * f64::from(*count);
    }
    let mut numbers: BTreeMap<&str, u32> = BTreeMap::new();
    let place = |machine: &Open<'_>| {
        let kind = &kinds[machine.kind];
        let number = numbers.entry(&kind.node.name).or_default();
        *number += 1;
        Placed {
            name: format!("{}-{number}", kind.node.name),
            cpu_cores: kind.cpu_cores,
            memory_bytes: kind.memory_bytes,
            resources: machine.holds.iter().map(|piece| piece.resource.to_owned()).collect(),
        }
    };
    let placed = open.iter().map(place).collect();
    Ok(Packed { machines, price_hour, placed })
}

/// Changes a machine for the cheapest kind that holds what is on it.
fn cheaper(machine: &mut Open<'_>, kinds: &[Kind<'_>], counts: &mut [u32]) {
    let cores: f64 = machine.holds.iter().map(|piece| piece.cpu_cores).sum();
    let bytes: f64 = machine.holds.iter().map(|piece| piece.memory_bytes).sum();
    let fits = |kind: &usize| {
        kinds[*kind].node.max.is_none_or(|max| counts[*kind] < max)
            && holds(&kinds[*kind], cores, bytes)
            && machine.holds.iter().all(|piece| takes(&kinds[*kind], piece))
    };
    let price = |kind: &usize| kinds[*kind].price_hour;
    let cheapest = (0..kinds.len()).filter(fits).min_by(|a, b| price(a).total_cmp(&price(b)));
    if let Some(kind) = cheapest.filter(|kind| price(kind) < price(&machine.kind)) {
        counts[machine.kind] -= 1;
        counts[kind] += 1;
        machine.kind = kind;
    }
}

fn takes(kind: &Kind<'_>, piece: &Piece<'_>) -> bool {
    kind.node.resource.as_deref().is_none_or(|pattern| matches(pattern, piece.resource))
}

fn holds(kind: &Kind<'_>, cores: f64, bytes: f64) -> bool {
    kind.cpu_cores >= cores - 1e-9 && kind.memory_bytes >= bytes
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::units::GIB;

    fn node(name: &str, cpu: &str, memory: &str, price_hour: f64) -> Node {
        Node {
            name: name.into(),
            cpu: Some(cpu.into()),
            memory: Some(memory.into()),
            price_hour: Some(price_hour),
            ..Node::default()
        }
    }

    fn packed(sizes: &[(f64, u64)], nodes: &Nodes) -> Result<Packed, String> {
        let piece =
            |(cores, gib): &(f64, u64)| Piece { resource: "a/b", cpu_cores: *cores, memory_bytes: (gib * GIB) as f64 };
        pack(&sizes.iter().map(piece).collect::<Vec<_>>(), &kinds(nodes))
    }

    #[test]
    fn the_cheapest_machines_that_hold_everything_count() {
        let nodes = Nodes { list: vec![node("large", "8", "32GiB", 0.4), node("small", "2", "8GiB", 0.12)] };
        assert_eq!(packed(&[(2.0, 8); 4], &nodes).unwrap().in_words(), "1 × large");
        assert_eq!(packed(&[(2.0, 8); 5], &nodes).unwrap().in_words(), "1 × large, 1 × small");
        assert_eq!(packed(&[(0.5, 1); 3], &nodes).unwrap().in_words(), "1 × small");
        assert!(packed(&[], &nodes).unwrap().machines.is_empty());
        assert_eq!(packed(&[(9.0, 1)], &nodes), Err("a/b".to_owned()));
        let few = Nodes { list: vec![Node { max: Some(1), ..node("small", "2", "8GiB", 0.1) }] };
        assert!(packed(&[(2.0, 1); 2], &few).is_err());
        // One that takes other resources only is none.
        let other = Nodes { list: vec![Node { resource: Some("x/*".into()), ..node("x", "8", "8GiB", 0.1) }] };
        assert!(packed(&[(1.0, 1)], &other).is_err());
    }

    #[test]
    fn smaller_limits_never_cost_more_on_one_kind_of_machine() {
        let nodes = Nodes { list: vec![node("m", "4", "16GiB", 0.2)] };
        let mut seed = 7_u64;
        let mut next = || {
            seed = seed.wrapping_mul(6_364_136_223_846_793_005).wrapping_add(1);
            (seed >> 33) as f64 / f64::from(1_u32 << 31)
        };
        for _ in 0..50 {
            let before: Vec<(f64, u64)> = (0..20).map(|_| (0.1 + 2.0 * next(), 1 + (6.0 * next()) as u64)).collect();
            let half: Vec<(f64, u64)> = before.iter().map(|(cores, gib)| (cores / 2.0, (gib / 2).max(1))).collect();
            let (before, half) = (packed(&before, &nodes).unwrap(), packed(&half, &nodes).unwrap());
            assert!(half.price_hour <= before.price_hour, "{before:?} {half:?}");
        }
    }
}
