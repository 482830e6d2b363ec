//! Laws over files nobody wrote by hand.

use super::*;
use proptest::prelude::*;

/// How a service sets its limits.
#[derive(Clone, Copy, Debug, PartialEq)]
enum Style {
    Block,
    Flow,
    Format2,
    /// `deploy:` with nothing below.
    Empty,
    Nothing,
    /// Not even a body.
    Null,
}

#[derive(Clone, Debug)]
struct Written {
    style: Style,
    quote: &'static str,
    cpu_hundredths: u32,
    memory_mib: u32,
    comment: &'static str,
    extra: &'static str,
}

#[derive(Clone, Debug)]
struct File {
    services: Vec<Written>,
    step: usize,
    newline: &'static str,
    head: &'static str,
    cut: bool,
}

fn written() -> impl Strategy<Value = Written> {
    let style = prop_oneof![
        Just(Style::Block),
        Just(Style::Flow),
        Just(Style::Format2),
        Just(Style::Empty),
        Just(Style::Nothing),
        Just(Style::Null)
    ];
    let comment = prop::sample::select(vec!["", " # ok", "  # cpus: 9, 'é\" {", "\t# tab"]);
    let extra =
        prop::sample::select(vec!["", "# memory: 1G", "environment: {A: 'x # y', B: \"\\\"\"}", "ports: [\"80\"]"]);
    (style, prop::sample::select(vec!["", "'", "\""]), 1..800_u32, 6..9000_u32, comment, extra).prop_map(
        |(style, quote, cpu_hundredths, memory_mib, comment, extra)| Written {
            style,
            quote,
            cpu_hundredths,
            memory_mib,
            comment,
            extra,
        },
    )
}

fn file() -> impl Strategy<Value = File> {
    let head = prop::sample::select(vec!["", "---\n", "# über\n\n", "\u{feff}name: x # 😀\n", "x-a: &a {k: v}\n"]);
    (prop::collection::vec(written(), 1..6), 1..5_usize, prop::sample::select(vec!["\n", "\r\n"]), head, any::<bool>())
        .prop_map(|(services, step, newline, head, cut)| File { services, step, newline, head, cut })
}

impl File {
    fn text(&self) -> String {
        let mut text = format!("{}services:\n", self.head);
        let mut line = |depth: usize, what: &str| {
            text += &format!("{}{what}\n", " ".repeat(self.step * depth));
        };
        for (i, service) in self.services.iter().enumerate() {
            let Written { quote: q, comment, .. } = service;
            let (cpu, memory) = (f64::from(service.cpu_hundredths) / 100.0, service.memory_mib);
            line(1, &format!("s{i}:{comment}"));
            if service.style == Style::Null {
                continue;
            }
            line(2, &format!("image: {q}a/b:1{q}{comment}"));
            match service.style {
                Style::Block => {
                    line(2, "deploy:");
                    line(3, &format!("resources:{comment}"));
                    line(4, "limits:");
                    line(5, &format!("cpus: {q}{cpu}{q}{comment}"));
                    line(5, &format!("memory: {q}{memory}M{q}{comment}"));
                }
                Style::Flow => {
                    let limits = format!("{{cpus: {q}{cpu}{q} , memory: {q}{memory}mb{q}}}");
                    line(2, &format!("deploy: {{ resources: {{limits: {limits}}} }}{comment}"));
                }
                Style::Format2 => {
                    line(2, &format!("cpus: {q}{cpu}{q}{comment}"));
                    line(2, &format!("mem_limit: {q}{}{q}{comment}", u64::from(memory) << 20));
                }
                Style::Empty => line(2, &format!("deploy:{comment}")),
                Style::Nothing | Style::Null => {}
            }
            line(2, service.extra);
        }
        let text = text.replace('\n', self.newline);
        if self.cut { text.trim_end().to_owned() } else { text }
    }
}

/// Bits of YAML in any order: rarely well-formed.
fn soup() -> impl Strategy<Value = String> {
    let bits = vec![
        "services:",
        "web:",
        " ",
        "  ",
        "    ",
        "\n",
        "\r\n",
        "deploy:",
        "resources:",
        "limits:",
        "cpus:",
        "memory:",
        "{",
        "}",
        "[",
        "]",
        ",",
        ": ",
        "- ",
        "? ",
        "&a ",
        "*a",
        "<<: *a",
        "!!str ",
        "!reset ",
        "'",
        "\"",
        "'1'",
        "1G",
        "0.5",
        "|",
        ">-",
        "#",
        " # c",
        "---",
        "...",
        "~",
        "null",
        "\u{feff}",
        "é",
        "😀",
        "\t",
        "extends: web",
        "mem_limit: ",
        "%YAML 1.2\n",
        "\\",
        "$",
        "services: {web: {",
        "services:\n  web:\n    ",
    ];
    prop::collection::vec(prop::sample::select(bits), 0..40).prop_map(|bits| bits.concat())
}

/// Lines a Compose file may have, in any order and often at the right depth.
fn lines() -> impl Strategy<Value = String> {
    let lines = vec![
        "\n",
        "# c\n",
        "    # c\n",
        "        # c\n",
        "  db:\n",
        "  db: &d {mem_limit: 1g}\n",
        "    <<: *d\n",
        "    <<: *x\n",
        "    image: a\n",
        "    image: 'a' # c\n",
        "    command: |\n      a\n\n",
        "    command: >+\n      a\n\n",
        "    ports:\n    - 80\n",
        "    ports:\n      - a: 1\n        b:\n",
        "    cpus: 1\n",
        "    mem_limit: 1g\n",
        "    deploy:\n",
        "    deploy: &p\n",
        "    deploy: {}\n",
        "    deploy: ~\n",
        "    deploy: *p\n",
        "    deploy:\n      resources:\n",
        "      replicas: 1\n",
        "      resources:\n",
        "      resources: {limits: {cpus: 1, }}\n",
        "      resources: { limits: }\n",
        "        limits:\n",
        "        limits: *l\n",
        "        limits: &k {memory: 1G} # c\n",
        "          <<: *l\n",
        "          cpus: '1'   # c\n",
        "          memory: &m \"1G\"\n",
        "          memory: *m\n",
        "        reservations: {memory: 5M}\n",
        "    extends: db\n",
        "    extends: {service: web}\n",
        "  worker: {extends: web}\n",
        "  worker:\n    ? image\n    : a\n",
        "    key: !reset [a, {b: c}]\n",
        "    multi: a\n      b # c\n",
        "  éé: \"😀\"\n",
    ];
    (prop::collection::vec(prop::sample::select(lines), 0..10), any::<bool>()).prop_map(|(lines, cut)| {
        let head = "x-l: &l {cpus: 2, memory: 2G}\nx-x: &x {mem_limit: 2g, image: x}\nservices:\n  web:\n";
        let text = format!("{head}{}", lines.concat());
        if cut { text.trim_end().to_owned() } else { text }
    })
}

fn state() -> impl Strategy<Value = State> {
    (prop::option::of(1..999_u32), prop::option::of(6 << 20..1_u64 << 36)).prop_map(|(cpu, memory)| State {
        cpu_cores: cpu.map(|hundredths| f64::from(hundredths) / 100.0),
        memory_bytes: memory,
    })
}

fn limits(text: &str) -> BTreeMap<String, State> {
    read_tests::alone(text).states
}

/// The lines without what stands behind `cpus:`, `memory:` and `mem_limit:`, comments kept.
fn without_amounts(text: &str) -> Vec<String> {
    let amount = |line: &str| ["cpus:", "memory:", "mem_limit:"].iter().any(|key| line.trim_start().starts_with(key));
    text.split_inclusive('\n')
        .map(|line| {
            let end = line.trim_end_matches(['\r', '\n']).len();
            match line.find('#').filter(|_| amount(line)) {
                Some(at) => line[at..].to_owned(),
                None if amount(line) || line.contains("limits: {") => line[end..].to_owned(),
                None => line.to_owned(),
            }
        })
        .collect()
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(400))]

    #[test]
    fn an_edit_changes_what_was_asked_and_nothing_else(
        file in file(),
        states in prop::collection::vec(prop::option::of(state()), 6),
    ) {
        let text = file.text();
        let names: Vec<String> = (0..file.services.len()).map(|i| format!("s{i}")).collect();
        let changes: Vec<(&str, State)> =
            names.iter().zip(&states).filter_map(|(name, state)| Some((name.as_str(), (*state)?))).collect();
        let edited = edit(&text, &changes).unwrap();

        let mut wanted = limits(&text);
        for (name, state) in &changes {
            let limits = wanted.get_mut(*name).unwrap();
            limits.cpu_cores = state.cpu_cores.or(limits.cpu_cores);
            limits.memory_bytes = state.memory_bytes.or(limits.memory_bytes);
        }
        prop_assert_eq!(limits(&edited), wanted);

        // Every old line is still there, in order and to the byte; a new one is a key of ours.
        let (old, new) = (without_amounts(&text), without_amounts(&edited));
        let mut rest = old.iter().peekable();
        for line in &new {
            let ends = |old: &str| old == line || (!old.ends_with('\n') && old == line.trim_end());
            if rest.next_if(|old| ends(old)).is_none() {
                let key = line.trim();
                prop_assert!(["", "deploy:", "resources:", "limits:"].contains(&key), "{:?} in\n{}", line, edited);
            }
        }
        prop_assert_eq!(rest.next(), None);
        prop_assert_eq!(edited.matches("\r\n").count() > 0, text.matches("\r\n").count() > 0);
        if file.newline == "\r\n" {
            prop_assert_eq!(edited.matches('\n').count(), edited.matches("\r\n").count());
        }
        prop_assert_eq!(edited.ends_with('\n'), text.ends_with('\n'));
        prop_assert_eq!(edit(&edited, &changes).unwrap(), edited);
    }

    #[test]
    fn amounts_written_in_place_are_the_only_bytes_that_change(mut file in file(), new in written()) {
        for service in &mut file.services {
            if !matches!(service.style, Style::Block | Style::Flow) {
                service.style = Style::Block;
            }
        }
        let before = file.text();
        let whole = new.memory_mib % 1024 == 0;
        prop_assume!(!whole);
        let (cpu, memory) = (f64::from(new.cpu_hundredths) / 100.0, u64::from(new.memory_mib) << 20);
        prop_assume!(cpu.fract() != 0.0);
        file.services[0].cpu_hundredths = new.cpu_hundredths;
        file.services[0].memory_mib = new.memory_mib;
        let state = State { cpu_cores: Some(cpu), memory_bytes: Some(memory) };
        let edited = edit(&before, &[("s0", state)]).unwrap();
        // A figure that was already so keeps its spelling: `1G` of an old file is not rewritten.
        prop_assert_eq!(edited, file.text());
    }

    #[test]
    fn no_text_makes_it_panic_or_touch_more_than_it_was_asked(text in prop_oneof![soup(), lines()]) {
        if let Ok(edited) = edit(&text, &[("web", State { cpu_cores: Some(0.75), memory_bytes: Some(7 << 20) })]) {
            let now = limits(&edited);
            prop_assert_eq!(now["web"], State { cpu_cores: Some(0.75), memory_bytes: Some(7 << 20) });
            let mut before = limits(&text);
            before.insert("web".into(), now["web"]);
            prop_assert_eq!(now, before);
        }
    }
}
