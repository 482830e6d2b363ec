//! SVG as text: shapes whose colours are attributes, so that they show where a style sheet is not allowed (Jenkins' content
//! security policy drops it), and which the style sheet changes for dark screens by those same attributes.

use std::fmt::Write;

/// A colour of the charts, with its counterpart on dark ground. They differ in lightness, so that they are told apart without
/// colour; contrast with the ground is 3:1 or more.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, serde::Serialize, serde::Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum Ink {
    /// What was measured.
    #[default]
    Blue,
    /// A limit, what is allowed.
    Dark,
    /// What is planned.
    Green,
    /// What went wrong.
    Red,
    /// A second measure.
    Orange,
    /// What stands back.
    Grey,
}

impl Ink {
    /// All of them: on light ground, on dark ground.
    pub(crate) const ALL: [(Self, &'static str, &'static str); 6] = [
        (Self::Blue, "#2463a6", "#79b4ee"),
        (Self::Dark, "#1d2733", "#e3e9f0"),
        (Self::Green, "#1e7a4c", "#5fc48d"),
        (Self::Red, "#b4232c", "#f2858b"),
        (Self::Orange, "#a85b00", "#eeae5e"),
        (Self::Grey, "#7a8694", "#96a2af"),
    ];

    pub(crate) fn light(self) -> &'static str {
        Self::ALL.iter().find(|(ink, ..)| *ink == self).map_or("", |(_, light, _)| light)
    }
}

/// Lines of the grid and the ground of bars: light, dark.
pub(crate) const FAINT: (&str, &str) = ("#dfe4ea", "#333d48");

/// Width of every chart, in its own units.
pub(crate) const WIDTH: f64 = 480.0;

/// An SVG in the making.
pub(crate) struct Svg {
    body: String,
}

impl Svg {
    pub(crate) fn new() -> Self {
        Self { body: String::new() }
    }

    /// The whole of it: an image with a name.
    pub(crate) fn finish(self, height: f64, name: &str, id: &str) -> String {
        format!(
            "<svg xmlns=\"http://www.w3.org/2000/svg\" width=\"{WIDTH}\" height=\"{h}\" viewBox=\"0 0 {WIDTH} {h}\" role=\"img\" \
             aria-labelledby=\"{id}\" font-family=\"system-ui,sans-serif\" font-size=\"11.5\" fill=\"currentColor\"><title \
             id=\"{id}\">{name}</title>{}</svg>",
            self.body,
            h = n(height),
            name = escape(name),
        )
    }

    pub(crate) fn line(&mut self, from: (f64, f64), to: (f64, f64), colour: &str, more: &str) {
        let _ = write!(
            self.body,
            "<path d=\"M{} {}L{} {}\" stroke=\"{colour}\"{more}/>",
            n(from.0),
            n(from.1),
            n(to.0),
            n(to.1)
        );
    }

    /// Points joined by lines; several pieces where some are missing.
    pub(crate) fn path(&mut self, pieces: &[Vec<(f64, f64)>], colour: &str, more: &str) {
        let d = d(pieces);
        if !d.is_empty() {
            let _ = write!(self.body, "<path d=\"{d}\" fill=\"none\" stroke=\"{colour}\"{more}/>");
        }
    }

    /// An area.
    pub(crate) fn area(&mut self, points: &[(f64, f64)], colour: &str, more: &str) {
        if points.len() > 2 {
            let _ = write!(self.body, "<path d=\"{}Z\" fill=\"{colour}\"{more}/>", d(&[points.to_vec()]));
        }
    }

    pub(crate) fn rect(&mut self, (x, y): (f64, f64), (w, h): (f64, f64), colour: &str, title: &str) {
        let (x, y, w, h) = (n(x), n(y), n(w.max(0.0)), n(h.max(0.0)));
        let _ =
            write!(self.body, "<rect x=\"{x}\" y=\"{y}\" width=\"{w}\" height=\"{h}\" rx=\"1.5\" fill=\"{colour}\"");
        self.close("rect", title);
    }

    pub(crate) fn circle(&mut self, (x, y): (f64, f64), radius: f64, colour: &str, hollow: bool, title: &str) {
        let (x, y, r) = (n(x), n(y), n(radius));
        let paint = match hollow {
            true => format!("fill=\"none\" stroke=\"{colour}\" stroke-width=\"2\""),
            false => format!("fill=\"{colour}\""),
        };
        let _ = write!(self.body, "<circle cx=\"{x}\" cy=\"{y}\" r=\"{r}\" {paint}");
        self.close("circle", title);
    }

    /// A triangle that stands on a point.
    pub(crate) fn triangle(&mut self, (x, y): (f64, f64), colour: &str, title: &str) {
        let _ = write!(self.body, "<path d=\"M{} {}l5 -9h-10Z\" fill=\"{colour}\"", n(x), n(y));
        self.close("path", title);
    }

    fn close(&mut self, element: &str, title: &str) {
        match title {
            "" => self.body.push_str("/>"),
            title => {
                let _ = write!(self.body, "><title>{}</title></{element}>", escape(title));
            }
        }
    }

    /// A text at its baseline; `anchor` is start, middle or end.
    pub(crate) fn text(&mut self, (x, y): (f64, f64), anchor: &str, text: &str, more: &str) {
        let anchor = if anchor == "start" { String::new() } else { format!(" text-anchor=\"{anchor}\"") };
        let _ = write!(self.body, "<text x=\"{}\" y=\"{}\"{anchor}{more}>{}</text>", n(x), n(y), escape(text));
    }
}

/// `M1 2L3 4`.
fn d(pieces: &[Vec<(f64, f64)>]) -> String {
    let mut out = String::new();
    for piece in pieces.iter().filter(|piece| !piece.is_empty()) {
        for (at, (x, y)) in piece.iter().enumerate() {
            let _ = write!(out, "{}{} {}", if at == 0 { "M" } else { "L" }, n(*x), n(*y));
        }
        // A single point is a dot.
        if piece.len() == 1 {
            out.push_str("h.1");
        }
    }
    out
}

/// A coordinate to a tenth.
pub(crate) fn n(value: f64) -> String {
    let text = format!("{:.1}", if value.is_finite() { value } else { 0.0 });
    match text.strip_suffix(".0") {
        Some("-0") => "0".to_owned(),
        Some(whole) => whole.to_owned(),
        None => text,
    }
}

/// A text inside SVG or HTML.
pub(crate) fn escape(text: &str) -> String {
    let mut out = String::with_capacity(text.len());
    for c in text.chars() {
        match c {
            '<' => out.push_str("&lt;"),
            '>' => out.push_str("&gt;"),
            '&' => out.push_str("&amp;"),
            '"' => out.push_str("&quot;"),
            '\'' => out.push_str("&#39;"),
            c if c.is_control() => out.push(' '),
            c => out.push(c),
        }
    }
    out
}

/// A text that fits into so many units of the chart: its middle is left out. Widths are estimated; a digit of the usual
/// fonts takes 0.55 of their size.
pub(crate) fn fitting(text: &str, units: f64, size: f64) -> String {
    let room = (units / (size * 0.55)).max(4.0) as usize;
    let count = text.chars().count();
    if count <= room {
        return text.to_owned();
    }
    let tail = room / 2;
    let head: String = text.chars().take(room - tail - 1).collect();
    let end: String = text.chars().skip(count - tail).collect();
    format!("{head}…{end}")
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_does_not_fit_loses_its_middle() {
        assert_eq!(fitting("short", 480.0, 11.0), "short");
        let long = fitting(&"x".repeat(200), 110.0, 11.0);
        assert_eq!(long.chars().count(), 18);
        assert!(long.contains('…'));
    }

    #[test]
    fn a_text_in_a_chart_is_no_markup() {
        let mut svg = Svg::new();
        svg.text((0.0, 0.0), "start", "<script>alert('&')</script>", "");
        let made = svg.finish(10.0, "\"><img src=x>", "c1");
        assert!(!made.contains("<script") && !made.contains("<img"), "{made}");
    }

    #[test]
    fn coordinates_are_short() {
        assert_eq!([1.0, 1.25, -0.04, f64::NAN].map(n), ["1", "1.2", "0", "0"]);
    }
}
