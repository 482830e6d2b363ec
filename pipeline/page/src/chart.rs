//! Charts, as data and as SVG. Everything that is drawn is drawn here: another library can take the place of these files.

mod bars;
mod lanes;
mod lines;
mod points;
mod scale;
mod thin;
mod tracks;

pub use bars::{Bar, Bars};
pub use lanes::{Lanes, Row, Span};
pub use lines::{Band, Lines, Mark, Panel, Series, Shape};
pub use points::{Point, Points};
pub use scale::Scale;
pub use tracks::{Track, Tracks};

use crate::paint::{Ink, Svg, WIDTH};
use serde::{Deserialize, Serialize};

/// One chart.
#[derive(Clone, Debug, Serialize, Deserialize)]
#[serde(tag = "of", rename_all = "lowercase")]
pub enum Chart {
    /// Values over time or over a number, panels above one another.
    Lines(Lines),
    /// A bar a name.
    Bars(Bars),
    /// Marks and ranges on a track a name.
    Tracks(Tracks),
    /// Two figures against one another.
    Points(Points),
    /// What happened when, in lanes.
    Lanes(Lanes),
}

impl Chart {
    /// Draws it; `name` is what is read out instead, `id` is unique on its page.
    pub(crate) fn svg(&self, name: &str, id: &str) -> String {
        let mut svg = Svg::new();
        let height = match self {
            Self::Lines(chart) => chart.draw(&mut svg),
            Self::Bars(chart) => chart.draw(&mut svg),
            Self::Tracks(chart) => chart.draw(&mut svg),
            Self::Points(chart) => chart.draw(&mut svg),
            Self::Lanes(chart) => chart.draw(&mut svg),
        };
        svg.finish(height, name, id)
    }
}

/// How a sign of the legend looks.
#[derive(Clone, Copy)]
enum Sign {
    Line,
    Dashed,
    Box,
    Dot,
    Ring,
    Tick,
    Triangle,
}

/// Signs and their names from `y` on, as many a line as fit. The height that it took.
fn legend(svg: &mut Svg, y: f64, entries: &[(Sign, Ink, &str)]) -> f64 {
    let (mut x, mut line) = (0.0, 0.0);
    for (sign, ink, name) in entries {
        let width = 20.0 + 6.1 * name.chars().count() as f64 + 14.0;
        if x > 0.0 && x + width > WIDTH + 10.0 {
            (x, line) = (0.0, line + 1.0);
        }
        let (middle, colour) = (y + line * 16.0 + 8.0, ink.light());
        match sign {
            Sign::Line => svg.line((x, middle), (x + 14.0, middle), colour, " stroke-width=\"2\""),
            Sign::Dashed => {
                svg.line((x, middle), (x + 14.0, middle), colour, " stroke-width=\"2\" stroke-dasharray=\"4 3\"")
            }
            Sign::Box => svg.rect((x + 2.0, middle - 4.5), (10.0, 9.0), colour, ""),
            Sign::Dot => svg.circle((x + 7.0, middle), 4.0, colour, false, ""),
            Sign::Ring => svg.circle((x + 7.0, middle), 4.0, colour, true, ""),
            Sign::Tick => svg.rect((x + 5.5, middle - 6.0), (3.0, 12.0), colour, ""),
            Sign::Triangle => svg.triangle((x + 7.0, middle + 4.0), colour, ""),
        }
        svg.text((x + 19.0, middle + 4.0), "start", name, "");
        x += width;
    }
    if entries.is_empty() { 0.0 } else { (line + 1.0) * 16.0 + 4.0 }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::unit::Unit;

    /// One of each, with values that a lake may hold.
    fn all(values: &[f64]) -> Vec<Chart> {
        let points: Vec<(f64, Option<f64>)> = values.iter().enumerate().map(|(n, v)| (n as f64, Some(*v))).collect();
        let name = "</svg><script>".to_owned();
        vec![
            Chart::Lines(Lines {
                scale: Scale::Number,
                panels: vec![Panel {
                    name: name.clone(),
                    unit: Unit::Cores,
                    series: vec![Series { name: name.clone(), points: points.clone(), ..Series::default() }],
                    ..Panel::default()
                }],
            }),
            Chart::Bars(Bars {
                unit: Unit::Bytes,
                bars: values.iter().map(|v| Bar { name: name.clone(), value: *v, ..Bar::default() }).collect(),
                ..Bars::default()
            }),
            Chart::Tracks(Tracks {
                unit: Unit::Share,
                marks: vec![name.clone()],
                range: name.clone(),
                tracks: values
                    .iter()
                    .map(|v| Track { name: name.clone(), range: Some((*v, *v)), marks: vec![Some(*v)], failed: false })
                    .collect(),
            }),
            Chart::Points(Points {
                x: (name.clone(), Unit::Plain),
                y: (name.clone(), Unit::Plain),
                points: values.iter().map(|v| Point { name: name.clone(), x: *v, y: *v, ink: Ink::Red }).collect(),
            }),
            Chart::Lanes(Lanes {
                rows: vec![Row {
                    name: name.clone(),
                    ink: Ink::Blue,
                    spans: values.iter().map(|v| Span { from: *v, until: *v, name: name.clone(), ink: None }).collect(),
                }],
            }),
        ]
    }

    #[test]
    fn whatever_the_values_a_chart_has_numbers_only_and_no_markup_of_others() {
        for values in [vec![], vec![0.0], vec![-5.0, 3.0], vec![f64::NAN, 1.0], vec![1e300, -1e300], vec![7.0; 500]] {
            for chart in all(&values) {
                let svg = chart.svg("a name", "c1");
                assert!(!svg.contains("NaN") && !svg.contains("inf") && !svg.contains("<script"), "{values:?} {svg}");
                assert_eq!(svg.matches("<svg").count(), 1);
                assert_eq!(svg.matches("</svg>").count(), 1);
                assert!(svg.len() < 200_000, "{} bytes", svg.len());
            }
        }
    }
}
