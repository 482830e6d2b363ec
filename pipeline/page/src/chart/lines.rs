//! Values over time or over a number: lines, steps, columns, bands and marks, in panels above one another with one axis.

use super::scale::{Axis, Scale};
use super::thin::pieces;
use super::{Sign, legend};
use crate::paint::{FAINT, Ink, Svg, WIDTH};
use crate::unit::Unit;
use serde::{Deserialize, Serialize};

/// Points a series keeps: about two a unit of the smallest screen.
const POINTS: usize = 140;
const LEFT: f64 = 62.0;
const PANEL: f64 = 118.0;

/// Panels above one another.
#[derive(Clone, Debug, Default, Serialize, Deserialize)]
pub struct Lines {
    /// What runs along the bottom.
    pub scale: Scale,
    /// From above.
    pub panels: Vec<Panel>,
}

/// One of them.
#[derive(Clone, Debug, Default, Serialize, Deserialize)]
pub struct Panel {
    /// What it shows; empty where the caption says it.
    pub name: String,
    /// Of its values.
    pub unit: Unit,
    /// Its series.
    pub series: Vec<Series>,
    /// An interval.
    pub band: Option<Band>,
    /// Moments.
    pub marks: Vec<Mark>,
}

/// One series.
#[derive(Clone, Debug, Default, Serialize, Deserialize)]
pub struct Series {
    /// Its name.
    pub name: String,
    /// Its colour.
    pub ink: Ink,
    /// Its shape.
    pub shape: Shape,
    /// Where and how much; none: not known.
    pub points: Vec<(f64, Option<f64>)>,
}

/// How a series is drawn.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum Shape {
    /// Joined.
    #[default]
    Line,
    /// Holds until the next.
    Step,
    /// The same, dashed.
    Dashed,
    /// A column each.
    Columns,
}

/// An interval around what is expected.
#[derive(Clone, Debug, Default, Serialize, Deserialize)]
pub struct Band {
    /// Its name.
    pub name: String,
    /// Where, from, to.
    pub points: Vec<(f64, f64, f64)>,
}

/// A moment that is pointed at.
#[derive(Clone, Debug, Default, Serialize, Deserialize)]
pub struct Mark {
    /// Where.
    pub at: f64,
    /// What happened; the same words share an entry of the legend.
    pub name: String,
}

impl Series {
    /// A level from one place to another.
    pub fn level(name: &str, ink: Ink, shape: Shape, (from, to): (f64, f64), value: Option<f64>) -> Self {
        Self { name: name.to_owned(), ink, shape, points: vec![(from, value), (to, value)] }
    }
}

impl Lines {
    pub(super) fn draw(&self, svg: &mut Svg) -> f64 {
        let places = self.panels.iter().flat_map(|panel| {
            let series = panel.series.iter().flat_map(|series| series.points.iter().map(|(x, _)| *x));
            series.chain(panel.band.iter().flat_map(|band| band.points.iter().map(|(x, ..)| *x)))
        });
        let range = places.filter(|x| x.is_finite()).fold((f64::MAX, f64::MIN), |(l, h), x| (l.min(x), h.max(x)));
        let columns = self.panels.iter().flat_map(|panel| &panel.series).any(|series| series.shape == Shape::Columns);
        let range = if range.0 > range.1 { (0.0, 1.0) } else { range };
        let half = if columns { self.column_step() / 2.0 } else { 0.0 };
        let x = Axis::new((range.0 - half, range.1 + half), (LEFT, WIDTH - 4.0));
        let mut y = 0.0;
        for (n, panel) in self.panels.iter().enumerate() {
            y += panel.draw(svg, y, &x, self.column_step());
            let ticks = match self.scale {
                Scale::Time => x.times(5),
                Scale::Number => x.ticks(Unit::Plain, 8),
            };
            let last = n + 1 == self.panels.len();
            for (at, word) in ticks {
                let place = x.place(at);
                svg.line((place, y), (place, y + 4.0), FAINT.0, "");
                if last {
                    svg.text((place.min(WIDTH - 22.0), y + 16.0), "middle", &word, "");
                }
            }
            y += if last { 22.0 } else { 12.0 };
        }
        y
    }

    /// The smallest distance of two columns.
    fn column_step(&self) -> f64 {
        let series = self.panels.iter().flat_map(|panel| &panel.series).filter(|s| s.shape == Shape::Columns);
        let steps = series.flat_map(|series| series.points.windows(2).map(|two| two[1].0 - two[0].0));
        let step = steps.filter(|step| *step > 0.0 && step.is_finite()).fold(f64::MAX, f64::min);
        if step == f64::MAX { 1.0 } else { step }
    }
}

impl Panel {
    /// Draws it from `top` on; how high it is.
    fn draw(&self, svg: &mut Svg, top: f64, x: &Axis, step: f64) -> f64 {
        let mut y = top;
        if !self.name.is_empty() {
            svg.text((0.0, y + 12.0), "start", &self.name, " font-weight=\"600\"");
            y += 18.0;
        }
        y += legend(svg, y, &self.signs()) + 6.0;
        let values = self.series.iter().flat_map(|series| series.points.iter().filter_map(|(_, y)| *y));
        let values = values.chain(self.band.iter().flat_map(|band| band.points.iter().map(|(_, _, high)| *high)));
        let axis = Axis::from_zero(values, (y + PANEL, y));
        for (at, word) in axis.ticks(self.unit, 5) {
            let place = axis.place(at);
            svg.line((LEFT, place), (WIDTH - 4.0, place), FAINT.0, "");
            svg.text((LEFT - 6.0, place + 4.0), "end", &word, "");
        }
        if let Some(band) = &self.band {
            let there = |(x, low, high): &&(f64, f64, f64)| x.is_finite() && low.is_finite() && high.is_finite();
            let upper = band.points.iter().filter(there).map(|(at, _, high)| (x.place(*at), axis.place(*high)));
            let lower = band.points.iter().filter(there).rev().map(|(at, low, _)| (x.place(*at), axis.place(*low)));
            let around: Vec<(f64, f64)> = upper.chain(lower).collect();
            svg.area(&around, Ink::Orange.light(), " fill-opacity=\".35\"");
        }
        for series in &self.series {
            series.draw(svg, x, &axis, step);
        }
        // Below lines there is room, above columns.
        let foot = if self.series.iter().any(|series| series.shape == Shape::Columns) { y + 9.0 } else { y + PANEL };
        for mark in self.marks.iter().filter(|mark| mark.at.is_finite()) {
            svg.triangle((x.place(mark.at), foot), Ink::Red.light(), &mark.name);
        }
        y + PANEL - top
    }

    fn signs(&self) -> Vec<(Sign, Ink, &str)> {
        let mut signs: Vec<(Sign, Ink, &str)> = Vec::new();
        for series in self.series.iter().filter(|series| series.points.iter().any(|(_, y)| y.is_some())) {
            let sign = match series.shape {
                Shape::Line | Shape::Step => Sign::Line,
                Shape::Dashed => Sign::Dashed,
                Shape::Columns => Sign::Box,
            };
            signs.push((sign, series.ink, &series.name));
        }
        signs.extend(self.band.iter().filter(|b| !b.points.is_empty()).map(|b| (Sign::Box, Ink::Orange, &*b.name)));
        if let Some(mark) = self.marks.first() {
            signs.push((Sign::Triangle, Ink::Red, &mark.name));
        }
        // One series that the caption names needs no legend.
        if signs.len() == 1 && self.name.is_empty() { Vec::new() } else { signs }
    }
}

impl Series {
    fn draw(&self, svg: &mut Svg, x: &Axis, y: &Axis, step: f64) {
        let colour = self.ink.light();
        let placed = |piece: Vec<(f64, f64)>| piece.into_iter().map(|(at, v)| (x.place(at), y.place(v))).collect();
        match self.shape {
            Shape::Columns => {
                let width = (x.place(x.low + step) - x.place(x.low)).max(1.0) * 0.78;
                for (at, value) in self.points.iter().filter_map(|(at, value)| Some((*at, (*value)?))) {
                    if !(at.is_finite() && value.is_finite()) {
                        continue;
                    }
                    let (top, bottom) = (y.place(value.max(0.0)), y.place(value.min(0.0)));
                    svg.rect((x.place(at) - width / 2.0, top), (width, bottom - top), colour, "");
                }
            }
            Shape::Line => {
                let pieces: Vec<Vec<(f64, f64)>> = pieces(&self.points, POINTS).into_iter().map(placed).collect();
                svg.path(&pieces, colour, " stroke-width=\"1.6\" stroke-linejoin=\"round\"");
            }
            Shape::Step | Shape::Dashed => {
                let pieces = pieces(&corners(&self.points), 4 * POINTS);
                let pieces: Vec<Vec<(f64, f64)>> = pieces.into_iter().map(placed).collect();
                let dashes = if self.shape == Shape::Dashed { " stroke-dasharray=\"5 4\"" } else { "" };
                svg.path(&pieces, colour, &format!(" stroke-width=\"2\"{dashes}"));
            }
        }
    }
}

/// The points at which a step function changes.
fn corners(points: &[(f64, Option<f64>)]) -> Vec<(f64, Option<f64>)> {
    let mut out: Vec<(f64, Option<f64>)> = Vec::new();
    let mut held: Option<Option<f64>> = None;
    for (n, (x, y)) in points.iter().enumerate() {
        let last = n + 1 == points.len();
        if held != Some(*y) || last {
            if let Some(before) = held.filter(|before| before.is_some() && before != y) {
                out.push((*x, before));
            }
            out.push((*x, *y));
        }
        held = Some(*y);
    }
    out
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_level_is_two_points_however_many_hours_it_holds() {
        let hours: Vec<(f64, Option<f64>)> = (0..700).map(|n| (f64::from(n), Some(2.0))).collect();
        assert_eq!(corners(&hours).len(), 2);
        let stepped = [(0.0, Some(1.0)), (1.0, Some(1.0)), (2.0, Some(3.0)), (3.0, Some(3.0))];
        assert_eq!(corners(&stepped), [(0.0, Some(1.0)), (2.0, Some(1.0)), (2.0, Some(3.0)), (3.0, Some(3.0))]);
    }
}
