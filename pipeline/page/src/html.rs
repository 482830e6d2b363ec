//! A page as one file of HTML: nothing is loaded, everything reads without script and without style.

use crate::block::{Block, Page, Section};
use crate::paint::{FAINT, Ink};
use minijinja::syntax::SyntaxConfig;
use minijinja::value::Serde;
use minijinja::{AutoEscape, Environment, UndefinedBehavior, Value, context};
use std::fmt::Write;

/// Why a page cannot be made: a fault in a template.
#[derive(Debug, thiserror::Error)]
#[error("cannot make the page")]
pub struct PageError(#[from] minijinja::Error);

const STYLE: &str = include_str!("../templates/style.css");
const SCRIPT: &str = include_str!("../templates/script.js");
const TEMPLATES: [(&str, &str); 2] =
    [("page.html", include_str!("../templates/page.html")), ("blocks.html", include_str!("../templates/blocks.html"))];

/// The file.
///
/// # Errors
/// A fault in a template; no content makes one.
pub fn html(page: &Page) -> Result<String, PageError> {
    let mut environment = Environment::new();
    environment.set_undefined_behavior(UndefinedBehavior::Strict);
    environment.set_auto_escape_callback(|_| AutoEscape::Html);
    environment.set_syntax(SyntaxConfig::builder().trim_blocks(true).lstrip_blocks(true).build()?);
    for (name, text) in TEMPLATES {
        environment.add_template(name, text)?;
    }
    let mut drawn = Drawn::default();
    let first = drawn.blocks(&page.first);
    let sections: Vec<Value> = page.sections.iter().map(|section| drawn.section(section)).collect();
    // Whatever a name holds, it ends no element; JSON reads these as what they stand for.
    let state = page.state.to_string().replace('<', "\\u003c").replace('>', "\\u003e").replace('&', "\\u0026");
    let made = environment.get_template("page.html")?.render(context! {
        page => Value::from(Serde(page)),
        first,
        sections,
        state => Value::from_safe_string(state),
        style => Value::from_safe_string(style()),
        script => Value::from_safe_string(SCRIPT.trim().to_owned()),
    })?;
    Ok(made)
}

/// The style sheet: the colours of the charts on dark ground follow from those on light ground.
fn style() -> String {
    let mut dark = String::new();
    let pairs = Ink::ALL.iter().map(|(_, light, dark)| (*light, *dark)).chain([FAINT]);
    for (light, on_dark) in pairs {
        let _ = write!(dark, "svg [fill=\"{light}\"]{{fill:{on_dark}}}svg [stroke=\"{light}\"]{{stroke:{on_dark}}}");
    }
    STYLE.trim().replace("/* charts */", &dark)
}

/// Charts become pictures, each with an id of its own.
#[derive(Default)]
struct Drawn {
    charts: usize,
    sections: Vec<String>,
}

impl Drawn {
    fn section(&mut self, section: &Section) -> Value {
        let blocks = self.blocks(&section.blocks);
        let mut id = if section.id.is_empty() { "part".to_owned() } else { section.id.clone() };
        while self.sections.contains(&id) {
            id.push_str("-2");
        }
        self.sections.push(id.clone());
        let parts: Vec<Value> = section.parts.iter().map(|part| self.section(part)).collect();
        let Section { title, about, badge, tone, .. } = section;
        context! { id, title, about, badge, tone => Value::from(Serde(tone)), blocks, parts }
    }

    fn blocks(&mut self, blocks: &[Block]) -> Vec<Value> {
        blocks.iter().map(|block| self.block(block)).collect()
    }

    fn block(&mut self, block: &Block) -> Value {
        let figure = match block {
            Block::Figure(figure) => figure,
            Block::Group { blocks } => return context! { kind => "group", blocks => self.blocks(blocks) },
            Block::Fold { summary, blocks } => {
                return context! { kind => "fold", summary => summary.as_str(), blocks => self.blocks(blocks) };
            }
            other => return Value::from(Serde(other)),
        };
        self.charts += 1;
        let svg = figure.chart.svg(&figure.caption, &format!("chart-{}", self.charts));
        context! {
            kind => "figure",
            caption => figure.caption.as_str(),
            svg => Value::from_safe_string(svg),
            numbers => Value::from(Serde(&figure.numbers)),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::block::{Cell, Column, Fact, Number, Table, Tone};
    use crate::chart::{Bar, Bars, Chart};
    use crate::unit::Unit;

    const HOSTILE: &str =
        "</script></title></svg>\"'><img src=http://x.example onerror=alert(1)>&amp;{{ page }}{% raw %}\u{0}";

    /// A page whose every text is hostile.
    fn hostile() -> Page {
        let text = || HOSTILE.to_owned();
        let table = || Table {
            caption: text(),
            columns: vec![Column::text(HOSTILE), Column::number(HOSTILE)],
            rows: vec![vec![Cell::text(HOSTILE), Cell::amount(Unit::Bytes, Some(1.0))]],
            left_out: 3,
        };
        let bars = Bars { bars: vec![Bar { name: text(), note: text(), ..Bar::default() }], ..Bars::default() };
        let blocks = || {
            vec![
                Block::text(HOSTILE),
                Block::List { items: vec![text()] },
                Block::Facts { facts: vec![Fact::code(HOSTILE, HOSTILE), Fact::new(HOSTILE, HOSTILE)] },
                Block::Table(table()),
                Block::figure(HOSTILE, Chart::Bars(bars.clone()), table()),
                Block::Command { about: text(), lines: vec![text()] },
                Block::missing(HOSTILE, &[HOSTILE]),
                Block::Fold { summary: text(), blocks: vec![Block::Group { blocks: vec![Block::text(HOSTILE)] }] },
            ]
        };
        let part = Section { badge: text(), tone: Tone::Bad, ..Section::new(HOSTILE, HOSTILE) }.with(blocks());
        Page {
            title: text(),
            about: text(),
            verdict: text(),
            facts: vec![Fact::new(HOSTILE, HOSTILE)],
            numbers: vec![Number { name: text(), value: text(), interval: text(), note: text(), tone: Tone::Good }],
            first: blocks(),
            sections: vec![Section { parts: vec![part.clone(), part.clone()], ..part }],
            made: text(),
            state: serde_json::json!({ "name": HOSTILE }),
            ..Page::default()
        }
    }

    #[test]
    fn no_text_becomes_markup_and_nothing_is_loaded() {
        let made = html(&hostile()).expect("a page");
        for wrong in ["<img", "http://x.example onerror=alert(1)>", "</script></title>", "alert(1)>"] {
            assert!(!made.contains(wrong), "{wrong}");
        }
        assert_eq!(made.matches("<script").count(), 2, "the state and our own");
        for place in made.match_indices("href=\"").map(|(at, _)| &made[at + 6..]) {
            assert!(place.starts_with('#'), "{}", &place[..30]);
        }
        for loads in
            ["<script src", "<link", "<img", "<iframe", "<object", "<embed", "<image", "<use", "<base", "<form"]
        {
            assert!(!made.contains(loads), "{loads}");
        }
        assert!(!made.contains("url("));
        assert!(made.contains("Content-Security-Policy"));
    }

    #[test]
    fn ids_are_unique_and_every_chart_has_a_caption_and_its_numbers() {
        let made = html(&hostile()).expect("a page");
        let mut ids: Vec<&str> =
            made.match_indices(" id=\"").filter_map(|(at, _)| made[at + 5..].split('"').next()).collect();
        let all = ids.len();
        ids.sort_unstable();
        ids.dedup();
        assert_eq!(ids.len(), all);
        let count = |what: &str| made.matches(what).count();
        assert_eq!((count("<figure"), count("<figcaption"), count("<svg")), (4, 4, 4));
        for figure in made.split("<figure").skip(1) {
            let figure = figure.split("</figure>").next().unwrap_or_default();
            assert!(figure.contains("<details") && figure.contains("<table"), "{figure}");
        }
    }

    #[test]
    fn our_own_script_is_short() {
        assert!(SCRIPT.len() < 5_000, "{} bytes", SCRIPT.len());
    }
}
