//! Runner classes of a CI system: what a job is given by the name it asks for.

use crate::state::State;
use crate::units::{parse_bytes, parse_cores};
use serde::Deserialize;

/// A class of machines that jobs run on.
#[derive(Clone, Debug, PartialEq, Deserialize)]
#[serde(try_from = "Form")]
pub struct Runner {
    /// What `runs-on`, `tags` or `resource_class` says.
    pub name: String,
    /// Which CI system has it: `actions`, `gitlab`, `circleci`; all where it is absent.
    pub on: Option<String>,
    /// Cores and bytes.
    pub size: State,
    /// What a minute costs; classes without a price are compared by their cores.
    pub price_minute: Option<f64>,
}

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct Form {
    name: String,
    on: Option<String>,
    cpu: String,
    memory: String,
    price_minute: Option<f64>,
}

impl TryFrom<Form> for Runner {
    type Error = String;

    fn try_from(form: Form) -> Result<Self, String> {
        let Form { name, on, cpu, memory, price_minute } = form;
        if on.as_deref().is_some_and(|on| !matches!(on, "actions" | "gitlab" | "circleci")) {
            return Err("`on` is actions, gitlab or circleci".to_owned());
        }
        if price_minute.is_some_and(|price| !(price >= 0.0 && price.is_finite())) {
            return Err("its price is none".to_owned());
        }
        let cpu_cores = Some(parse_cores(&cpu).ok_or_else(|| format!("cannot read {cpu:?}: write cores, as \"4\""))?);
        let memory_bytes =
            Some(parse_bytes(&memory).ok_or_else(|| format!("cannot read {memory:?}: write a size, as \"16GiB\""))?);
        Ok(Self { name, on, size: State { cpu_cores, memory_bytes }, price_minute })
    }
}

impl Runner {
    /// Whether a CI system has it.
    pub fn is_of(&self, kind: &str) -> bool {
        self.on.as_deref().is_none_or(|on| on == kind)
    }

    /// Whether it has room for a demand; what is not known of the demand asks for nothing.
    pub fn has_room(&self, demand: State) -> bool {
        self.size.cpu_cores.unwrap_or_default() >= demand.cpu_cores.unwrap_or_default()
            && self.size.memory_bytes.unwrap_or_default() >= demand.memory_bytes.unwrap_or_default()
    }

    /// What it is compared by: its price, else its size.
    pub fn weight(&self) -> f64 {
        self.price_minute.unwrap_or_else(|| self.size.cpu_cores.unwrap_or_default())
    }
}
