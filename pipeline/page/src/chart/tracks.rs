//! A track a name, with a range and marks on it: before and after within bounds, stated and measured coverage.

use super::scale::Axis;
use super::{Sign, legend};
use crate::paint::{FAINT, Ink, Svg, WIDTH, fitting};
use crate::unit::Unit;
use serde::{Deserialize, Serialize};

/// Tracks below one another with one axis.
#[derive(Clone, Debug, Default, Serialize, Deserialize)]
pub struct Tracks {
    /// Of their values.
    pub unit: Unit,
    /// What the marks are: a tick, a dot, a ring.
    pub marks: Vec<String>,
    /// What the range is.
    pub range: String,
    /// From above.
    pub tracks: Vec<Track>,
}

/// One of them.
#[derive(Clone, Debug, Default, Serialize, Deserialize)]
pub struct Track {
    /// Its name.
    pub name: String,
    /// From, to.
    pub range: Option<(f64, f64)>,
    /// In the order of [`Tracks::marks`].
    pub marks: Vec<Option<f64>>,
    /// Whether it is not as it should be.
    pub failed: bool,
}

const SIGNS: [(Sign, Ink); 3] = [(Sign::Tick, Ink::Dark), (Sign::Dot, Ink::Blue), (Sign::Ring, Ink::Green)];

impl Tracks {
    pub(super) fn draw(&self, svg: &mut Svg) -> f64 {
        let mut signs: Vec<(Sign, Ink, &str)> =
            self.marks.iter().zip(SIGNS).map(|(name, (sign, ink))| (sign, ink, name.as_str())).collect();
        if self.tracks.iter().any(|track| track.range.is_some()) {
            signs.push((Sign::Line, Ink::Grey, &self.range));
        }
        let mut y = legend(svg, 0.0, &signs) + 4.0;
        let values = self.tracks.iter().flat_map(|track| {
            let range = track.range.into_iter().flat_map(|(low, high)| [low, high]);
            range.chain(track.marks.iter().copied().flatten())
        });
        let axis = Axis::from_zero(values, (2.0, WIDTH - 30.0));
        let top = y;
        let bottom = y + 34.0 * self.tracks.len() as f64;
        for (at, word) in axis.ticks(self.unit, 5) {
            svg.line((axis.place(at), top), (axis.place(at), bottom), FAINT.0, "");
            let anchor = if axis.place(at) < 10.0 { "start" } else { "middle" };
            svg.text((axis.place(at), bottom + 14.0), anchor, &word, "");
        }
        for track in &self.tracks {
            svg.text((0.0, y + 11.0), "start", &fitting(&track.name, WIDTH, 11.5), "");
            let middle = y + 22.0;
            if let Some((low, high)) = track.range.filter(|(low, high)| low.is_finite() && high.is_finite()) {
                let ends = ((axis.place(low), middle), (axis.place(high), middle));
                svg.line(ends.0, ends.1, Ink::Grey.light(), " stroke-width=\"3\" stroke-linecap=\"round\"");
            }
            for (value, (sign, ink)) in track.marks.iter().zip(SIGNS) {
                let Some(value) = value.filter(|value| value.is_finite()) else { continue };
                let place = axis.place(value);
                let colour = if track.failed && matches!(sign, Sign::Dot) { Ink::Red } else { ink }.light();
                match sign {
                    Sign::Tick => svg.rect((place - 1.5, middle - 7.0), (3.0, 14.0), colour, ""),
                    Sign::Ring => svg.circle((place, middle), 5.0, colour, true, ""),
                    _ => svg.circle((place, middle), 4.5, colour, false, ""),
                }
            }
            y += 34.0;
        }
        bottom + 20.0
    }
}
