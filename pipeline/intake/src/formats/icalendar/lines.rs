//! Content lines and the components they are in (RFC 5545, 3.1 and 3.4). Lines come unfolded.

use domain::Reason;

/// Components inside each other, at most.
const DEPTH: usize = 8;

/// One content line.
#[derive(Clone, Debug, PartialEq)]
pub(super) struct Property {
    /// In capitals.
    pub(super) name: String,
    /// Names in capitals, values without their quotes.
    params: Vec<(String, String)>,
    /// As it was written.
    pub(super) value: String,
}

impl Property {
    /// Reads `NAME;PARAM="a:b":value`; none where it is no content line.
    fn read(line: &str) -> Option<Self> {
        let mut quoted = false;
        let mut parts = Vec::new();
        let mut start = 0;
        for (at, char) in line.char_indices() {
            match char {
                '"' => quoted = !quoted,
                ';' | ':' if !quoted => {
                    parts.push(&line[start..at]);
                    start = at + 1;
                    if char == ':' {
                        let name = parts.first().filter(|name| is_name(name))?.to_ascii_uppercase();
                        let param = |part: &&str| {
                            let (name, value) = part.split_once('=')?;
                            is_name(name).then(|| (name.to_ascii_uppercase(), value.replace('"', "")))
                        };
                        let params = parts[1..].iter().map(param).collect::<Option<_>>()?;
                        return Some(Self { name, params, value: line[start..].to_owned() });
                    }
                }
                _ => {}
            }
        }
        None
    }

    pub(super) fn param(&self, name: &str) -> Option<&str> {
        self.params.iter().find(|(key, _)| key == name).map(|(_, value)| value.as_str())
    }

    /// Its value as text: `\n`, `\,`, `\;` and `\\` say what they stand for.
    pub(super) fn text(&self) -> String {
        let mut text = String::with_capacity(self.value.len());
        let mut chars = self.value.trim().chars();
        while let Some(char) = chars.next() {
            match char {
                '\\' => match chars.next() {
                    Some('n' | 'N') => text.push('\n'),
                    Some(other) => text.push(other),
                    None => text.push('\\'),
                },
                char => text.push(char),
            }
        }
        text
    }

    /// Its value as a list of texts: commas part them, unless escaped.
    pub(super) fn texts(&self) -> Vec<String> {
        let mut parts = vec![String::new()];
        let mut escaped = false;
        for char in self.value.chars() {
            if char == ',' && !escaped {
                parts.push(String::new());
                continue;
            }
            escaped = char == '\\' && !escaped;
            parts.last_mut().expect("there is one from the beginning").push(char);
        }
        let text = |value: String| Self { name: String::new(), params: Vec::new(), value }.text();
        parts.into_iter().map(text).filter(|text| !text.is_empty()).collect()
    }
}

fn is_name(name: &str) -> bool {
    !name.is_empty() && name.bytes().all(|byte| byte.is_ascii_alphanumeric() || byte == b'-')
}

/// A component: a calendar, an event, a time zone.
#[derive(Clone, Debug, Default)]
pub(super) struct Component {
    /// In capitals.
    pub(super) name: String,
    pub(super) properties: Vec<Property>,
    pub(super) inner: Vec<Component>,
}

impl Component {
    /// The first property of that name.
    pub(super) fn get(&self, name: &str) -> Option<&Property> {
        self.properties.iter().find(|property| property.name == name)
    }

    /// The text of the first property of that name, unless it is empty.
    pub(super) fn text(&self, name: &str) -> Option<String> {
        self.get(name).map(Property::text).filter(|text| !text.is_empty())
    }

    /// All properties of that name.
    pub(super) fn all(&self, name: &str) -> impl Iterator<Item = &Property> {
        self.properties.iter().filter(move |property| property.name == name)
    }

    /// As content lines, for a reject. Who was invited is left out: a reject names nobody.
    pub(super) fn written(&self) -> String {
        let mut text = format!("BEGIN:{}\n", self.name);
        let named = |name: &str| matches!(name, "ATTENDEE" | "ORGANIZER" | "CONTACT");
        for property in self.properties.iter().filter(|property| !named(&property.name)) {
            text.push_str(&property.name);
            for (name, value) in &property.params {
                text.push_str(&format!(";{name}=\"{value}\""));
            }
            text.push_str(&format!(":{}\n", property.value));
        }
        self.inner.iter().for_each(|inner| text.push_str(&format!("{}\n", inner.written())));
        text.push_str(&format!("END:{}", self.name));
        text
    }
}

/// The calendars of a text; lines and components that are none are told to `refuse`, with the reason.
pub(super) fn calendars(text: &str, refuse: &mut dyn FnMut(String, Reason)) -> Vec<Component> {
    let mut whole = Vec::new();
    let mut open: Vec<Component> = Vec::new();
    for line in text.lines().map(|line| line.trim_end_matches('\r')).filter(|line| !line.trim().is_empty()) {
        let Some(property) = Property::read(line) else {
            refuse(line.to_owned(), Reason::Format("it is no content line (NAME:value)"));
            continue;
        };
        let name = property.value.trim().to_ascii_uppercase();
        let depth = open.len();
        match (property.name.as_str(), open.last_mut()) {
            ("BEGIN", _) if depth >= DEPTH => {
                refuse(line.to_owned(), Reason::Format("components nest too deep"));
            }
            ("BEGIN", _) => open.push(Component { name, ..Component::default() }),
            ("END", Some(last)) if last.name == name => {
                let done = open.pop().expect("there is a last one");
                match open.last_mut() {
                    Some(outer) => outer.inner.push(done),
                    None => whole.push(done),
                }
            }
            ("END", _) => refuse(line.to_owned(), Reason::Format("END without its BEGIN")),
            (_, Some(last)) => last.properties.push(property),
            (_, None) => refuse(line.to_owned(), Reason::Format("a property outside of any component")),
        }
    }
    // What was cut off is refused by itself; the calendar around it has what came before.
    while let Some(mut last) = open.pop() {
        match open.last_mut() {
            Some(_) => refuse(last.written(), Reason::Format("the component has no END")),
            None => {
                refuse(format!("BEGIN:{}", last.name), Reason::Format("the calendar has no END"));
                last.inner.retain(|inner| !inner.name.is_empty());
                whole.push(last);
            }
        }
    }
    whole
}
