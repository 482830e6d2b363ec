//! What happened when: a lane a kind, a bar or a dot for each.

use super::scale::Axis;
use crate::paint::{FAINT, Ink, Svg, WIDTH};
use serde::{Deserialize, Serialize};

const LEFT: f64 = 92.0;
const LANE: f64 = 26.0;
/// Shapes a lane has at most: behind them nothing can be told apart.
const SHAPES: usize = 160;

/// Lanes below one another with one axis of time.
#[derive(Clone, Debug, Default, Serialize, Deserialize)]
pub struct Lanes {
    /// From above.
    pub rows: Vec<Row>,
}

/// One lane.
#[derive(Clone, Debug, Default, Serialize, Deserialize)]
pub struct Row {
    /// Its name.
    pub name: String,
    /// The colour of what is in it.
    pub ink: Ink,
    /// What is in it.
    pub spans: Vec<Span>,
}

/// Something that lasted, or a moment.
#[derive(Clone, Debug, Default, Serialize, Deserialize)]
pub struct Span {
    /// When it began, microseconds since 1970.
    pub from: f64,
    /// When it ended.
    pub until: f64,
    /// What it was.
    pub name: String,
    /// Another colour than its lane's.
    pub ink: Option<Ink>,
}

impl Lanes {
    pub(super) fn draw(&self, svg: &mut Svg) -> f64 {
        let ends = self.rows.iter().flat_map(|row| row.spans.iter().flat_map(|span| [span.from, span.until]));
        let range = ends.filter(|x| x.is_finite()).fold((f64::MAX, f64::MIN), |(l, h), x| (l.min(x), h.max(x)));
        let range = if range.0 > range.1 { (0.0, 1.0) } else { range };
        let x = Axis::new(range, (LEFT + 6.0, WIDTH - 8.0));
        let bottom = LANE * self.rows.len() as f64;
        for (at, word) in x.times(5) {
            svg.line((x.place(at), 0.0), (x.place(at), bottom), FAINT.0, "");
            svg.text((x.place(at).min(WIDTH - 22.0), bottom + 16.0), "middle", &word, "");
        }
        for (n, row) in self.rows.iter().enumerate() {
            let top = LANE * n as f64;
            svg.text((0.0, top + 17.0), "start", &row.name, "");
            svg.line((LEFT, top + 13.0), (WIDTH, top + 13.0), FAINT.0, "");
            // Of those that would lie on one another, the later ones are seen.
            let mut drawn: Vec<(i64, i64, bool)> = Vec::new();
            for span in row.spans.iter().filter(|span| span.from.is_finite() && span.until.is_finite()) {
                let (from, until) = (x.place(span.from), x.place(span.until.max(span.from)));
                let place = ((from * 2.0) as i64, (until * 2.0) as i64, span.ink.is_some());
                if drawn.contains(&place) || drawn.len() >= SHAPES {
                    continue;
                }
                drawn.push(place);
                let colour = span.ink.unwrap_or(row.ink).light();
                match until - from {
                    width if width < 5.0 => svg.circle((from, top + 13.0), 4.0, colour, false, &span.name),
                    width => svg.rect((from, top + 7.0), (width, 12.0), colour, &span.name),
                }
            }
        }
        bottom + 22.0
    }
}
