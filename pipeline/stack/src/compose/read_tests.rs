use super::*;
use domain::units::{GIB, MIB};

fn limits(text: &str) -> BTreeMap<String, State> {
    Parsed::new(text).unwrap().limits().0
}

fn unclear(text: &str) -> Vec<(String, String)> {
    Parsed::new(text).unwrap().limits().1
}

fn state(cpu: f64, memory: u64) -> State {
    State { cpu_cores: Some(cpu), memory_bytes: Some(memory) }
}

const SHARED: &str = r#"
x-limits: &limits
  cpus: "0.5"
  memory: 256M
x-base: &base
  restart: always
  deploy: &deploy
    resources:
      limits: *limits
services:
  aliased:
    deploy: {resources: {limits: *limits}}
  merged:
    <<: *base
  overridden:
    <<: [*base]
    deploy:
      resources:
        limits:
          <<: *limits
          memory: 1g
  extended:
    extends: overridden
    cpus: 0.5
  extended_more:
    extends: {service: overridden}
    deploy: {resources: {limits: {memory: 2G}}}
"#;

#[test]
fn anchors_merges_and_extends_are_read_as_compose_reads_them() {
    let found = limits(SHARED);
    assert_eq!(found["aliased"], state(0.5, 256 * MIB));
    assert_eq!(found["merged"], state(0.5, 256 * MIB));
    assert_eq!(found["overridden"], state(0.5, GIB));
    assert_eq!(found["extended"], state(0.5, GIB));
    assert_eq!(found["extended_more"], state(0.5, 2 * GIB));
    assert!(unclear(SHARED).is_empty());
}

#[test]
fn both_spellings_of_a_limit_are_read_and_no_limit_is_no_figure() {
    let found = limits(
        "services:\n  old: {cpus: 1.5, mem_limit: 512m}\n  new:\n    deploy:\n      resources:\n        limits:\n          cpus: '2'\n  none:\n  empty: {deploy: }\n  zero: {mem_limit: 0}\n",
    );
    assert_eq!(found["old"], state(1.5, 512 * MIB));
    assert_eq!(found["new"], State { cpu_cores: Some(2.0), memory_bytes: None });
    for name in ["none", "empty", "zero"] {
        assert!(found[name].is_empty(), "{name}");
    }
}

#[test]
fn what_depends_on_something_else_is_unknown_and_said_so() {
    for (body, word) in [
        ("mem_limit: '${MEM:-512m}'", "variable"),
        ("deploy: {resources: {limits: {cpus: \"$CPUS\"}}}", "variable"),
        ("deploy: {resources: {limits: {memory: !reset null}}}", "tag"),
        ("deploy: {resources: {limits: !override {memory: 1g}}}", "tag"),
        ("{mem_limit: 1g, deploy: {resources: {limits: {memory: 2g}}}}", "contradict"),
        ("cpu_quota: 50000", "cpu_quota"),
        ("extends: {file: common.yml, service: base}", "common.yml"),
        ("extends: web", "itself"),
        ("extends: nobody", "nobody"),
        ("mem_limit: lots", "no amount"),
        ("mem_limit: 0512", "no amount"),
        ("mem_limit: [1]", "single value"),
        ("deploy: [1]", "not a mapping"),
    ] {
        let body = if body.starts_with('{') { body.to_owned() } else { format!("{{ {body} }}") };
        let text = format!("services:\n  web: {body}\n");
        assert!(limits(&text)["web"].is_empty(), "{text}");
        let notes = unclear(&text);
        assert!(!notes.is_empty() && notes.iter().all(|(name, why)| name == "web" && why.contains(word)), "{notes:?}");
    }
}

#[test]
fn an_explicit_limit_is_known_whatever_the_service_extends() {
    let text = "services:\n  web:\n    extends: {file: c.yml, service: b}\n    mem_limit: 1g\n";
    assert_eq!(limits(text)["web"].memory_bytes, Some(GIB));
    assert_eq!(unclear(text).len(), 1, "the cores stay unknown");
}

#[test]
fn the_environment_is_the_project_name_or_the_folder_as_compose_normalises_it() {
    let folder = tempfile::tempdir().unwrap();
    let inner = folder.path().join("_My App.v2");
    std::fs::create_dir(&inner).unwrap();
    let path = inner.join("compose.yaml");
    let names = |text: &str, path: &Path| -> Result<Vec<String>, StackError> {
        std::fs::write(inner.join("compose.yaml"), text).unwrap();
        Ok(ComposeFile::new(path).read()?.resources.into_keys().collect())
    };
    assert_eq!(names("services: {web: , db: {}}", &path).unwrap(), ["myappv2/db", "myappv2/web"]);
    let around = inner.join("../_My App.v2/./compose.yaml");
    assert_eq!(names("services: {web: }", &around).unwrap(), ["myappv2/web"]);
    assert_eq!(names("name: shop\nservices: {web: }", &path).unwrap(), ["shop/web"]);
    let error = names("name: ${NAME:-shop}\nservices: {web: }", &path).unwrap_err();
    assert!(error.hint().is_some_and(|hint| hint.contains("name:")));
    assert!(names("name: '!'\nservices: {web: }", &path).is_err());
    assert_eq!(names("", &path).unwrap(), Vec::<String>::new());
}

#[test]
fn what_is_no_compose_file_is_named_with_its_place() {
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("compose.yml");
    for (bytes, word) in [
        (&b"services: [web]"[..], "not a Compose file"),
        (b"- a\n- b\n", "not a Compose file"),
        (b"services:\n  web: {\n", "line"),
        (b"services: {}\nservices: {}\n", "twice"),
        (b"services: {}\n---\nservices: {}\n", "second document"),
        (b"name: \xff\n", "UTF-8"),
    ] {
        std::fs::write(&path, bytes).unwrap();
        let error = ComposeFile::new(&path).read().unwrap_err();
        let chain = format!("{error}: {}", std::error::Error::source(&error).unwrap());
        assert!(chain.contains("compose.yml") && chain.contains(word), "{chain}");
        assert!(!error.is_refusal());
    }
    assert!(matches!(ComposeFile::new(folder.path().join("none.yml")).read(), Err(StackError::Read { .. })));
}

#[test]
fn files_that_may_say_otherwise_are_noted() {
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("compose.yml");
    std::fs::write(&path, "include: [db.yml]\nservices: {web: }\n").unwrap();
    std::fs::write(folder.path().join("compose.override.yml"), "services: {}\n").unwrap();
    let notes = ComposeFile::new(&path).read().unwrap().notes;
    assert!(notes.iter().any(|note| note.what.contains("includes")), "{notes:?}");
    assert!(notes.iter().any(|note| note.what.contains("compose.override.yml")), "{notes:?}");
}
