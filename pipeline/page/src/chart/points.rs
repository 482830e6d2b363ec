//! Two figures against one another, a named point each.

use super::scale::Axis;
use crate::paint::{FAINT, Ink, Svg, WIDTH, fitting};
use crate::unit::Unit;
use serde::{Deserialize, Serialize};

const HEIGHT: f64 = 210.0;
const LEFT: f64 = 54.0;

/// Named points on two axes.
#[derive(Clone, Debug, Default, Serialize, Deserialize)]
pub struct Points {
    /// What runs along the bottom, and its unit.
    pub x: (String, Unit),
    /// What runs upwards, and its unit.
    pub y: (String, Unit),
    /// The points.
    pub points: Vec<Point>,
}

/// One of them.
#[derive(Clone, Debug, Default, Serialize, Deserialize)]
pub struct Point {
    /// Its name, beside it.
    pub name: String,
    /// Where along the bottom.
    pub x: f64,
    /// How high.
    pub y: f64,
    /// Its colour.
    pub ink: Ink,
}

impl Points {
    pub(super) fn draw(&self, svg: &mut Svg) -> f64 {
        svg.text((0.0, 12.0), "start", &self.y.1.heading(&self.y.0), " font-weight=\"600\"");
        let (top, bottom) = (22.0, 22.0 + HEIGHT);
        let x = Axis::from_zero(self.points.iter().map(|point| point.x), (LEFT, WIDTH - 46.0));
        let y = Axis::from_zero(self.points.iter().map(|point| point.y), (bottom, top));
        for (at, word) in y.ticks(self.y.1, 4) {
            svg.line((LEFT, y.place(at)), (WIDTH - 4.0, y.place(at)), FAINT.0, "");
            svg.text((LEFT - 6.0, y.place(at) + 4.0), "end", &word, "");
        }
        for (at, word) in x.ticks(self.x.1, 6) {
            svg.line((x.place(at), bottom), (x.place(at), bottom + 4.0), FAINT.0, "");
            svg.text((x.place(at), bottom + 16.0), "middle", &word, "");
        }
        svg.text((WIDTH - 4.0, bottom + 32.0), "end", &self.x.1.heading(&self.x.0), " font-weight=\"600\"");
        let mut taken: Vec<(f64, f64)> = Vec::new();
        for point in self.points.iter().filter(|point| point.x.is_finite() && point.y.is_finite()) {
            let (across, up) = (x.place(point.x), y.place(point.y));
            svg.circle((across, up), 5.0, point.ink.light(), false, &point.name);
            let name = fitting(&point.name, 110.0, 11.5);
            let width = 6.3 * name.chars().count() as f64;
            let right = across + 9.0 + width <= WIDTH;
            let from = if right { across + 9.0 } else { across - 9.0 - width };
            // Names of neighbours stand above one another.
            let mut line = up + 4.0;
            while taken.iter().any(|(x, y)| (x - from).abs() < 90.0 && (y - line).abs() < 13.0) && line > top {
                line -= 13.0;
            }
            taken.push((from, line));
            svg.text((from, line), "start", &name, "");
        }
        bottom + 40.0
    }
}
