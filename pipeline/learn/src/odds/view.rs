//! The columns that a model looks at, made from those it is given, and the families they are kept or dropped by.
//!
//! A name tells what a column measures: units come last (`web_cpu`, `host_cpu`), so columns that end alike are of one unit
//! and their ratio means something: the share of the host that is our own. Which families carry over to new settings is not
//! guessed: it is tried on later data (see [`super::fit`]).

use super::rows::{HISTORY, Rows};
use domain::probability::Cause;
use serde::{Deserialize, Serialize};
use std::collections::HashMap;

/// How a column is made.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub(crate) enum Make {
    /// As given.
    Raw(String),
    /// Its mean over the rows of the same group up to this one: less noise, nothing from later.
    SoFar(String),
    /// The logarithm of one over the other, each so far in its group.
    Ratio(String, String),
    /// One of [`HISTORY`], by place.
    History(usize),
}

/// A column and the family it is in.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub(crate) struct Recipe {
    pub(crate) make: Make,
    pub(crate) family: String,
}

/// Columns of one unit that take part in ratios, at most.
const RATIO_COLUMNS: usize = 8;

fn unit(name: &str) -> &str {
    name.rsplit_once('_').map_or(name, |(_, last)| last)
}

/// What the columns can be made into, judged by the rows learnt from.
pub(crate) fn recipes(rows: &Rows, learnt: &[u32]) -> Vec<Recipe> {
    let mut recipes = Vec::new();
    let mut of_unit: Vec<(&str, Vec<usize>)> = Vec::new();
    let grouped = rows.group.windows(2).any(|pair| pair[0] == pair[1]);
    for (at, name) in rows.names.iter().enumerate() {
        let values: Vec<f32> = learnt.iter().map(|&row| rows.columns[at][row as usize]).collect();
        let mut distinct: Vec<u32> = values.iter().filter(|v| !v.is_nan()).map(|v| v.to_bits()).collect();
        distinct.sort_unstable();
        distinct.dedup();
        if distinct.len() < 2 && !values.iter().any(|v| v.is_nan()) || distinct.is_empty() {
            continue;
        }
        let family = if distinct.len() <= 2 { "flags" } else { unit(name) };
        recipes.push(Recipe { make: Make::Raw(name.clone()), family: family.to_owned() });
        let positive = !values.iter().any(|v| *v < 0.0) && distinct.len() > 20;
        if grouped && varies(rows, at, learnt) {
            recipes.push(Recipe { make: Make::SoFar(name.clone()), family: format!("{family} so far") });
        }
        if positive && distinct.len() > 2 {
            match of_unit.iter_mut().find(|(of, _)| *of == unit(name)) {
                Some((_, members)) if members.len() < RATIO_COLUMNS => members.push(at),
                Some(_) => {}
                None => of_unit.push((unit(name), vec![at])),
            }
        }
    }
    for (unit, members) in of_unit {
        for (place, &a) in members.iter().enumerate() {
            for &b in &members[..place] {
                let make = Make::Ratio(rows.names[a].clone(), rows.names[b].clone());
                recipes.push(Recipe { make, family: format!("{unit} ratios") });
            }
        }
    }
    if rows.has_past() {
        recipes.extend((0..HISTORY.len()).map(|at| Recipe { make: Make::History(at), family: "history".to_owned() }));
    }
    recipes
}

/// Whether a column changes inside most groups.
fn varies(rows: &Rows, column: usize, learnt: &[u32]) -> bool {
    let values = &rows.columns[column];
    let pairs = learnt.windows(2).filter(|p| rows.group[p[0] as usize] == rows.group[p[1] as usize]);
    let (same, all) = pairs.fold((0_usize, 0_usize), |(same, all), p| {
        let (a, b) = (values[p[0] as usize], values[p[1] as usize]);
        (same + usize::from(a == b || a.is_nan() && b.is_nan()), all + 1)
    });
    all > 0 && same < all * 9 / 10
}

/// The columns of a file that repeat inside its groups name the setting: rows of one setting repeat the same work.
pub(crate) fn settings(columns: &[Vec<f32>], group: &[u32]) -> Vec<u32> {
    let mut first: HashMap<u32, usize> = HashMap::new();
    let firsts: Vec<usize> = group.iter().enumerate().map(|(row, g)| *first.entry(*g).or_insert(row)).collect();
    let constant = |column: &&Vec<f32>| {
        let moved = |(row, &first): (usize, &usize)| column[row].to_bits() != column[first].to_bits();
        let changes = firsts.iter().enumerate().filter(|&(row, first)| moved((row, first))).count();
        changes * 100 <= group.len()
    };
    let fixed: Vec<&Vec<f32>> = columns.iter().filter(constant).collect();
    let mut seen: HashMap<Vec<u32>, u32> = HashMap::new();
    let settings = firsts.iter().map(|&row| {
        let setting: Vec<u32> = fixed.iter().map(|column| column[row].to_bits()).collect();
        let next = seen.len() as u32;
        *seen.entry(setting).or_insert(next)
    });
    settings.collect()
}

impl Recipe {
    /// What it is called.
    pub(crate) fn name(&self) -> String {
        match &self.make {
            Make::Raw(name) => name.clone(),
            Make::SoFar(name) => format!("mean {name} so far"),
            Make::Ratio(a, b) => format!("{a} over {b}"),
            Make::History(at) => HISTORY[*at].to_owned(),
        }
    }

    /// The resources that it measures: of a ratio both, of all else one. A ratio of our use to the whole host's tells of
    /// neighbours on either side.
    pub(crate) fn resources(&self) -> [Option<Cause>; 2] {
        match &self.make {
            Make::Raw(name) | Make::SoFar(name) => [Cause::of_column(name), None],
            Make::Ratio(a, b) if whole_host(a) || whole_host(b) => [Some(Cause::Neighbours); 2],
            Make::Ratio(a, b) => [Cause::of_column(a), Cause::of_column(b)],
            Make::History(_) => [None; 2],
        }
    }
}

/// Whether a column counts everybody on the machine, ourselves among them.
fn whole_host(name: &str) -> bool {
    name.split(|c: char| !c.is_ascii_alphanumeric()).any(|word| matches!(word, "host" | "node"))
}

/// Of each ratio the logarithms of both sides, so that one can be exchanged without the other.
pub(crate) fn sides(recipes: &[Recipe], rows: &Rows) -> Vec<Option<[Vec<f32>; 2]>> {
    let side = |name: &String| -> Vec<f32> {
        let place = rows.names.iter().position(|n| n == name);
        let so_far = place.map_or_else(|| vec![f32::NAN; rows.len()], |at| mean_so_far(&rows.columns[at], &rows.group));
        so_far.into_iter().map(logarithm).collect()
    };
    let of = |recipe: &Recipe| match &recipe.make {
        Make::Ratio(a, b) => Some([side(a), side(b)]),
        _ => None,
    };
    recipes.iter().map(of).collect()
}

/// Makes the columns; those of history only from what was learnt.
pub(crate) fn make(recipes: &[Recipe], rows: &Rows, learnt: &[u32]) -> Vec<Vec<f32>> {
    let place = |name: &str| rows.names.iter().position(|n| n == name);
    let nothing = || vec![f32::NAN; rows.len()];
    let mut so_far: HashMap<&str, Vec<f32>> = HashMap::new();
    for recipe in recipes {
        let names: Vec<&str> = match &recipe.make {
            Make::SoFar(name) => vec![name],
            Make::Ratio(a, b) => vec![a, b],
            Make::Raw(_) | Make::History(_) => Vec::new(),
        };
        for name in names {
            let mean = || place(name).map_or_else(nothing, |at| mean_so_far(&rows.columns[at], &rows.group));
            so_far.entry(name).or_insert_with(mean);
        }
    }
    let history = if recipes.iter().any(|r| matches!(r.make, Make::History(_))) {
        rows.history(learnt)
    } else {
        Default::default()
    };
    let log_ratio =
        |a: &str, b: &str| so_far[a].iter().zip(&so_far[b]).map(|(a, b)| logarithm(*a) - logarithm(*b)).collect();
    recipes
        .iter()
        .map(|recipe| match &recipe.make {
            Make::Raw(name) => place(name).map_or_else(nothing, |at| rows.columns[at].clone()),
            Make::SoFar(name) => so_far[name.as_str()].clone(),
            Make::Ratio(a, b) => log_ratio(a, b),
            Make::History(at) => history[*at].clone(),
        })
        .collect()
}

/// Less than a thousandth of a unit is not told apart from nothing; missing stays missing.
fn logarithm(value: f32) -> f32 {
    if value < 1e-3 { 1e-3_f32.ln() } else { value.ln() }
}

fn mean_so_far(column: &[f32], group: &[u32]) -> Vec<f32> {
    let mut sums: HashMap<u32, (f64, f64)> = HashMap::new();
    let mean = |(value, group): (&f32, &u32)| {
        let sum = sums.entry(*group).or_default();
        if !value.is_nan() {
            *sum = (sum.0 + f64::from(*value), sum.1 + 1.0);
        }
        if sum.1 > 0.0 { (sum.0 / sum.1) as f32 } else { f32::NAN }
    };
    column.iter().zip(group).map(mean).collect()
}
