//! From the heartbeats of WakaTime's plugins to `edit` and `debug` events.
//!
//! A heartbeat is sent on every save, and every two minutes while somebody types. Heartbeats of one file that follow
//! each other closely are one event with a duration. What a heartbeat says is listed in WakaTime's API documentation,
//! "Heartbeats": entity, type, category, time, project, project_root_count, branch, language, is_write, line_additions,
//! line_deletions, user_agent. The machine's name and the cursor's place are not kept.

use crate::collect::event;
use crate::git::file_type;
use domain::Timestamp;
use domain::time::SECOND;
use serde::Deserialize;
use serde_json::{Map, Value};
use std::collections::BTreeMap;

/// Heartbeats of one file no further apart than this are one event: the plugins' two minutes, and room for a slow one.
const PULSE: i64 = 300 * SECOND;

/// What of a heartbeat is looked at. Plugins differ in what they leave out.
#[derive(Clone, Debug, Default, Deserialize)]
pub(super) struct Heartbeat {
    entity: String,
    #[serde(rename = "type")]
    kind: Option<String>,
    category: Option<String>,
    time: f64,
    project: Option<String>,
    project_root_count: Option<u32>,
    branch: Option<String>,
    language: Option<String>,
    is_write: Option<bool>,
    line_additions: Option<f64>,
    line_deletions: Option<f64>,
    user_agent: Option<String>,
    plugin: Option<String>,
}

/// One file in one branch, and what is done with it.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord)]
struct Key {
    repo: Option<String>,
    branch: Option<String>,
    file: String,
    debug: bool,
}

struct Span {
    from: Timestamp,
    to: Timestamp,
    /// When its last heartbeat came: after a time without a network, plugins send what they kept for hours.
    came: Timestamp,
    saves: u64,
    lines: Option<[u64; 2]>,
    category: Option<String>,
    language: Option<String>,
    editor: Option<String>,
}

/// Where a file on this machine belongs: the top of its checkout and the repository, if it is in one.
pub(super) type Locate<'a> = &'a mut dyn FnMut(&str) -> Option<(String, Option<String>)>;

/// Events that may still go on.
#[derive(Default)]
pub(super) struct Beats {
    open: BTreeMap<Key, Span>,
}

impl Heartbeat {
    /// Reads one; the reason when it is none.
    pub(super) fn read(value: Value) -> Result<Self, String> {
        let beat: Self = serde_json::from_value(value).map_err(|error| format!("no heartbeat: {error}"))?;
        if beat.entity.trim().is_empty() {
            return Err("no heartbeat: its entity is empty".to_owned());
        }
        if !beat.at().is_usable() || !beat.time.is_finite() {
            return Err("no heartbeat: its time is no second since 1970".to_owned());
        }
        Ok(beat)
    }

    /// When it was sent, by the editor's clock.
    pub(super) fn at(&self) -> Timestamp {
        Timestamp((self.time * 1e6).round() as i64)
    }

    /// Whether somebody worked on a file: not in a browser, not in a meeting.
    fn is_work(&self) -> bool {
        let elsewhere = ["browsing", "meeting", "communicating", "supporting", "researching", "learning", "planning"];
        let category = self.category.as_deref().unwrap_or("coding").to_lowercase();
        self.kind.as_deref().unwrap_or("file") == "file" && !elsewhere.contains(&category.as_str())
    }
}

impl Beats {
    /// Takes a heartbeat that came at `now`; false when it is none of a file. What it ends goes to `over`.
    pub(super) fn take(&mut self, beat: &Heartbeat, now: Timestamp, locate: Locate, over: &mut Vec<Value>) -> bool {
        if !beat.is_work() {
            return false;
        }
        let at = beat.at();
        over.extend(self.over(now));
        let entity = beat.entity.replace('\\', "/");
        let (file, repo) = match locate(&beat.entity) {
            Some((top, repo)) => (below(&entity, &top), repo),
            None => (None, None),
        };
        let file = file.unwrap_or_else(|| relative(&entity, beat.project.as_deref(), beat.project_root_count));
        let text = |text: &Option<String>| text.clone().filter(|text| !text.trim().is_empty());
        let key = Key {
            repo: repo.or_else(|| text(&beat.project)),
            branch: text(&beat.branch),
            file,
            debug: beat.category.as_deref().is_some_and(|c| c.eq_ignore_ascii_case("debugging")),
        };
        let apart = |span: &Span| at < span.from.plus(-PULSE) || at > span.to.plus(PULSE);
        if self.open.get(&key).is_some_and(apart)
            && let Some(span) = self.open.remove(&key)
        {
            over.push(span.event(&key));
        }
        let span = self.open.entry(key).or_insert(Span {
            from: at,
            to: at,
            came: now,
            saves: 0,
            lines: None,
            category: text(&beat.category),
            language: text(&beat.language),
            editor: text(&beat.user_agent).or(text(&beat.plugin)).and_then(|agent| editor(&agent)),
        });
        span.from = span.from.min(at);
        span.to = span.to.max(at);
        span.came = now;
        span.saves += u64::from(beat.is_write == Some(true));
        if beat.line_additions.is_some() || beat.line_deletions.is_some() {
            let lines = span.lines.get_or_insert([0; 2]);
            lines[0] += beat.line_additions.unwrap_or(0.0).max(0.0) as u64;
            lines[1] += beat.line_deletions.unwrap_or(0.0).max(0.0) as u64;
        }
        true
    }

    /// Of what nothing has come for so long at `now` that a later heartbeat begins another event.
    pub(super) fn over(&mut self, now: Timestamp) -> Vec<Value> {
        let mut over = Vec::new();
        self.open.retain(|key, span| {
            let goes_on = span.came.plus(PULSE) >= now;
            if !goes_on {
                over.push(span.event(key));
            }
            goes_on
        });
        over
    }

    /// Everything, over or not.
    pub(super) fn all(&mut self) -> Vec<Value> {
        self.over(Timestamp(i64::MAX))
    }
}

impl Span {
    fn event(&self, key: &Key) -> Value {
        let mut payload = Map::new();
        payload.insert("file".into(), key.file.clone().into());
        payload.insert("file_type".into(), file_type(&key.file).into());
        payload.insert("duration_ms".into(), ((self.to.0 - self.from.0) / 1000).into());
        payload.insert("saves".into(), self.saves.into());
        if let Some([added, removed]) = self.lines {
            payload.insert("lines_added".into(), added.into());
            payload.insert("lines_removed".into(), removed.into());
        }
        for (name, value) in [("category", &self.category), ("language", &self.language), ("editor", &self.editor)] {
            if let Some(value) = value {
                payload.insert(name.into(), value.clone().into());
            }
        }
        let kind = if key.debug { "debug" } else { "edit" };
        event(self.from, kind, &[("repo", key.repo.as_deref()), ("branch", key.branch.as_deref())], payload)
    }
}

fn below(entity: &str, top: &str) -> Option<String> {
    let rest = entity.strip_prefix(top.trim_end_matches('/'))?.strip_prefix('/')?;
    (!rest.is_empty()).then(|| rest.to_owned())
}

/// A path without what is above the project: by the number of its folders where the plugin says it, else by the
/// project's name. Where neither helps, the name of the file alone: an absolute path names a person.
fn relative(entity: &str, project: Option<&str>, root_count: Option<u32>) -> String {
    let parts: Vec<&str> = entity.split('/').filter(|part| !part.is_empty()).collect();
    let is_absolute = entity.starts_with('/') || parts.first().is_some_and(|first| first.ends_with(':'));
    let is_remote = entity.contains("://");
    if !is_absolute && !is_remote && !parts.contains(&"..") {
        return parts.join("/");
    }
    let counted = root_count.map(|n| n as usize).filter(|n| (1..parts.len()).contains(n));
    let named = || {
        let project = project?.rsplit(['/', '\\']).next()?;
        let at = parts.iter().rposition(|part| *part == project)? + 1;
        (at < parts.len()).then_some(at)
    };
    match counted.or_else(named) {
        Some(from) => parts[from..].join("/"),
        None => parts.last().map_or_else(String::new, |name| (*name).to_owned()),
    }
}

/// `vscode` of `wakatime/v1.98.1 (linux-6.1) go1.22 vscode/1.90.0 vscode-wakatime/24.6.0`.
fn editor(agent: &str) -> Option<String> {
    let names = agent.split_whitespace().filter_map(|word| word.split_once('/')).map(|(name, _)| name);
    let plain = |name: &&str| name.chars().all(|c| c.is_ascii_alphanumeric() || "-_.+".contains(c)) && name.len() <= 40;
    names.filter(|name| *name != "wakatime" && !name.ends_with("-wakatime")).find(plain).map(str::to_lowercase)
}

#[cfg(test)]
mod tests {
    use super::*;
    use serde_json::json;

    fn beats(values: &[Value]) -> Vec<Value> {
        let (mut beats, mut over) = (Beats::default(), Vec::new());
        for value in values {
            let beat = Heartbeat::read(value.clone()).unwrap();
            beats.take(&beat, beat.at(), &mut |_| None, &mut over);
        }
        over.extend(beats.all());
        over
    }

    #[test]
    fn heartbeats_of_a_file_are_one_edit_on_its_branch() {
        let beat = |time: f64, write: bool| {
            json!({"entity": "/home/ann/api/src/main.rs", "type": "file", "category": "coding", "time": time,
                "project": "api", "branch": "fix/login", "language": "Rust", "is_write": write, "line_additions": 3,
                "machine": "anns-laptop", "user_agent": "wakatime/v1.98.1 (linux-6.1) go1.22 vscode/1.90.0 vscode-wakatime/24.6.0"})
        };
        let events = beats(&[beat(1_800_000_000.25, false), beat(1_800_000_120.0, true), beat(1_800_001_000.0, true)]);
        assert_eq!(events.len(), 2);
        assert_eq!(events[0]["ts"], "2027-01-15T08:00:00.250Z");
        assert_eq!((&events[0]["repo"], &events[0]["branch"]), (&json!("api"), &json!("fix/login")));
        let want = json!({"file": "src/main.rs", "file_type": "rs", "duration_ms": 119_750, "saves": 1, "lines_added": 6,
            "lines_removed": 0, "category": "coding", "language": "Rust", "editor": "vscode"});
        assert_eq!(events[0]["payload"], want);
        assert!(!events[0].to_string().contains("ann"));
    }

    #[test]
    fn what_was_kept_without_a_network_comes_late_and_is_as_long_as_it_was() {
        let beat = |time: f64| Heartbeat::read(json!({"entity": "a.rs", "time": time})).unwrap();
        let (mut beats, mut over) = (Beats::default(), Vec::new());
        let now = Timestamp(1_800_100_000 * SECOND);
        for time in [1.8e9, 1.8e9 + 120.0, 1.8e9 + 7200.0, 1.8e9 - 7200.0] {
            beats.take(&beat(time), now, &mut |_| None, &mut over);
        }
        over.extend(beats.all());
        let lengths: Vec<u64> = over.iter().map(|e| e["payload"]["duration_ms"].as_u64().unwrap()).collect();
        assert_eq!(lengths, [120_000, 0, 0]);
    }

    #[test]
    fn debugging_is_another_event_and_browsing_is_none() {
        let beat = |category: &str, kind: &str| json!({"entity": "/x/api/a.py", "type": kind, "category": category, "time": 1.8e9, "project": "api"});
        let events = beats(&[
            beat("debugging", "file"),
            beat("coding", "file"),
            beat("browsing", "domain"),
            beat("coding", "app"),
        ]);
        let kinds: Vec<&str> = events.iter().map(|event| event["type"].as_str().unwrap()).collect();
        assert_eq!(kinds, ["edit", "debug"]);
    }

    #[test]
    fn no_path_shows_what_is_above_the_project() {
        for (entity, project, count, want) in [
            ("/home/ann/api/src/a.rs", Some("api"), None, "src/a.rs"),
            ("/home/ann/work/api-2/src/a.rs", Some("api"), Some(4), "src/a.rs"),
            ("C:/Users/ann/api/a.cs", Some("api"), None, "a.cs"),
            ("/home/ann/scratch.txt", None, None, "scratch.txt"),
            ("/home/ann/api", Some("api"), Some(9), "api"),
            ("src/a.rs", Some("api"), None, "src/a.rs"),
            ("ssh://ann@host/home/ann/api/a.rs", Some("api"), None, "a.rs"),
            ("../../ann/a.rs", None, None, "a.rs"),
        ] {
            assert_eq!(relative(entity, project, count), want, "{entity}");
        }
    }

    #[test]
    fn what_is_no_heartbeat_is_said_to_be_none() {
        for bad in [
            json!({}),
            json!([]),
            json!({"entity": "", "time": 1.8e9}),
            json!({"entity": "a", "time": "now"}),
            json!({"entity": "a", "time": -5.0}),
            json!({"entity": "a", "time": 1e300}),
        ] {
            assert!(Heartbeat::read(bad.clone()).unwrap_err().starts_with("no heartbeat"), "{bad}");
        }
    }
}
