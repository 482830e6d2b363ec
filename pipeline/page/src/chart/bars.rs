//! A bar a name, the name above its bar: names of jobs and commands are long.

use super::scale::Axis;
use super::{Sign, legend};
use crate::paint::{FAINT, Ink, Svg, WIDTH, fitting};
use crate::unit::Unit;
use serde::{Deserialize, Serialize};

const ROOM: f64 = 392.0;

/// Bars below one another.
#[derive(Clone, Debug, Default, Serialize, Deserialize)]
pub struct Bars {
    /// Of their values.
    pub unit: Unit,
    /// What a bar shows; told where there is a second figure.
    pub value: String,
    /// What the second figure is: a tick on the bar.
    pub tick: String,
    /// From above.
    pub bars: Vec<Bar>,
}

/// One of them.
#[derive(Clone, Debug, Default, Serialize, Deserialize)]
pub struct Bar {
    /// Its name.
    pub name: String,
    /// How long it is.
    pub value: f64,
    /// A second figure.
    pub tick: Option<f64>,
    /// Its colour.
    pub ink: Ink,
    /// Behind it, beside the value.
    pub note: String,
}

impl Bars {
    pub(super) fn draw(&self, svg: &mut Svg) -> f64 {
        let signs = [(Sign::Box, Ink::Blue, self.value.as_str()), (Sign::Tick, Ink::Dark, self.tick.as_str())];
        let has_ticks = self.bars.iter().any(|bar| bar.tick.is_some());
        let mut y = if has_ticks { legend(svg, 0.0, &signs) + 4.0 } else { 0.0 };
        let values = self.bars.iter().flat_map(|bar| [Some(bar.value), bar.tick]).flatten();
        let axis = Axis::from_zero(values, (0.0, ROOM));
        for bar in &self.bars {
            let value = if bar.value.is_finite() { bar.value } else { 0.0 };
            svg.text((0.0, y + 11.0), "start", &fitting(&bar.name, WIDTH, 11.5), "");
            svg.rect((0.0, y + 16.0), (ROOM, 10.0), FAINT.0, "");
            let from = axis.place(0.0);
            let until = axis.place(value);
            svg.rect((from.min(until), y + 16.0), ((until - from).abs().max(1.0), 10.0), bar.ink.light(), &bar.name);
            if let Some(tick) = bar.tick.filter(|tick| tick.is_finite()) {
                svg.rect((axis.place(tick) - 1.5, y + 13.0), (3.0, 16.0), Ink::Dark.light(), "");
            }
            let note = if bar.note.is_empty() { self.unit.say(value) } else { bar.note.clone() };
            svg.text((WIDTH, y + 25.0), "end", &fitting(&note, WIDTH - ROOM, 11.5), " font-weight=\"600\"");
            y += 36.0;
        }
        y
    }
}
