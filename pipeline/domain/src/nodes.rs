//! The machines that resources run on: no limit is raised above what its machine has.

use crate::overrides::{Amounts, matches};
use crate::state::State;
use crate::units::GIB;
use serde::Deserialize;

/// What every machine is taken to have at least, where nothing larger was seen of it and no one says.
pub const ASSUMED: State = State { cpu_cores: Some(4.0), memory_bytes: Some(16 * GIB) };

/// The file that `plan --nodes` reads: TOML with `[[node]]` tables.
#[derive(Clone, Debug, Default, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Nodes {
    /// In file order.
    #[serde(default, rename = "node")]
    pub list: Vec<Node>,
}

/// One machine, or a kind of machine.
#[derive(Clone, Debug, Default, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Node {
    /// Its name, for people.
    #[serde(default)]
    pub name: String,
    /// Which resources run on it, `*` standing for any run of characters; all of them where it is absent.
    pub resource: Option<String>,
    /// `16` or `16000m`.
    pub cpu: Option<String>,
    /// `64GiB`.
    pub memory: Option<String>,
    /// What it costs; machines without a price are not packed.
    pub price_hour: Option<f64>,
    /// How many there may be.
    pub max: Option<u32>,
}

/// The room there is for one resource.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct Machine {
    /// Cores and bytes.
    pub size: State,
    /// Whether a person or its samples said so; otherwise it is the largest that was seen, or [`ASSUMED`].
    pub told: bool,
}

impl Default for Machine {
    fn default() -> Self {
        Self { size: ASSUMED, told: false }
    }
}

impl Machine {
    /// What can be said of a machine from the largest limits and use seen in an environment.
    pub fn seen(largest: State) -> Self {
        Self { size: ASSUMED.most(largest), told: false }
    }
}

impl Node {
    /// What it has; none where that cannot be read.
    pub(crate) fn size(&self) -> Option<State> {
        self.state().ok()
    }

    fn state(&self) -> Result<State, String> {
        Amounts { cpu: self.cpu.clone(), memory: self.memory.clone() }.state()
    }
}

impl Nodes {
    /// Checks every amount; the first that cannot be read is named.
    pub fn validate(&self) -> Result<(), String> {
        for node in &self.list {
            let size = node.state().map_err(|text| format!("node {:?}: cannot read {text:?}", node.name))?;
            if size.is_empty() {
                return Err(format!("node {:?} has neither cpu nor memory", node.name));
            }
            if node.price_hour.is_some_and(|price| !(price >= 0.0 && price.is_finite())) {
                return Err(format!("node {:?}: its price is none", node.name));
            }
            if node.price_hour.is_some() && (size.cpu_cores.is_none() || size.memory_bytes.is_none()) {
                return Err(format!("node {:?} has a price, and lacks cpu or memory", node.name));
            }
        }
        Ok(())
    }

    /// A month of one more core, of the machine with the cheapest cores; none where none has a price.
    pub fn core_month(&self) -> Option<f64> {
        let of = |node: &Node| Some(node.price_hour? / node.size()?.cpu_cores? * crate::packing::MONTH_HOURS);
        self.list.iter().filter_map(of).min_by(f64::total_cmp)
    }

    /// The largest machine that a resource may run on; what was seen where none is named.
    pub fn machine(&self, resource: &str, seen: Machine) -> Machine {
        let fits = |node: &&Node| node.resource.as_deref().is_none_or(|pattern| matches(pattern, resource));
        let sizes: Vec<State> = self.list.iter().filter(fits).filter_map(|node| node.state().ok()).collect();
        if sizes.is_empty() {
            return seen;
        }
        let cpu_cores = sizes.iter().filter_map(|size| size.cpu_cores).reduce(f64::max);
        let memory_bytes = sizes.iter().filter_map(|size| size.memory_bytes).max();
        Machine {
            size: State {
                cpu_cores: cpu_cores.or(seen.size.cpu_cores),
                memory_bytes: memory_bytes.or(seen.size.memory_bytes),
            },
            told: true,
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn node(resource: Option<&str>, cpu: &str, memory: &str) -> Node {
        Node {
            name: "n".into(),
            resource: resource.map(str::to_owned),
            cpu: Some(cpu.into()),
            memory: Some(memory.into()),
            ..Node::default()
        }
    }

    #[test]
    fn the_largest_matching_machine_counts_and_what_was_seen_where_none_is_named() {
        let nodes = Nodes { list: vec![node(Some("dev/*"), "8", "32GiB"), node(Some("dev/*"), "16", "16GiB")] };
        let told = nodes.machine("dev/web", Machine::default());
        assert_eq!(told.size, State { cpu_cores: Some(16.0), memory_bytes: Some(32 * GIB) });
        assert!(told.told && !nodes.machine("prod/web", Machine::default()).told);
    }

    #[test]
    fn a_machine_has_at_least_what_was_seen_of_it() {
        let seen = Machine::seen(State { cpu_cores: Some(16.0), memory_bytes: Some(GIB) });
        assert_eq!(seen.size, State { cpu_cores: Some(16.0), memory_bytes: ASSUMED.memory_bytes });
    }

    #[test]
    fn an_amount_that_cannot_be_read_is_named() {
        let nodes = Nodes { list: vec![node(None, "many", "1g")] };
        assert!(nodes.validate().unwrap_err().contains("many"));
        assert!(Nodes { list: vec![Node::default()] }.validate().is_err());
        let priced = Node { price_hour: Some(0.1), memory: None, ..node(None, "1", "1GiB") };
        assert!(Nodes { list: vec![priced] }.validate().unwrap_err().contains("price"));
    }
}
