use super::around::Surroundings;
use super::read::Parsed;
use super::*;
use domain::units::{GIB, MIB};

fn limits(text: &str) -> BTreeMap<String, State> {
    alone(text).states
}

fn unclear(text: &str) -> Vec<(String, String)> {
    alone(text).notes
}

/// What a file says with nothing around it.
pub(super) fn alone(text: &str) -> read::Limits {
    Project { parsed: &Parsed::new(text).unwrap(), around: &Surroundings::default() }.limits()
}

/// A folder with these files, the first of them being the target.
pub(super) fn folder(files: &[(&str, &str)]) -> (tempfile::TempDir, ComposeFile) {
    let folder = tempfile::tempdir().unwrap();
    for (name, text) in files {
        let path = folder.path().join(name);
        std::fs::create_dir_all(path.parent().unwrap()).unwrap();
        std::fs::write(path, text).unwrap();
    }
    let file = ComposeFile::new(folder.path().join(files[0].0));
    (folder, file)
}

pub(super) fn change(resource: &str, cpu_cores: Option<f64>, memory_bytes: Option<u64>) -> Change {
    let after = State { cpu_cores, memory_bytes };
    Change {
        item_id: resource.into(),
        resource: resource.into(),
        on: "file".into(),
        before: State::default(),
        after,
        task: None,
        requests: None,
        text: None,
        follows: false,
    }
}

pub(super) fn state(cpu: f64, memory: u64) -> State {
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
        ("mem_limit: '${MEM}'", "variable"),
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
    assert_eq!(names("name: ${NAME:-shop}\nservices: {web: }", &path).unwrap(), ["shop/web"]);
    let error = names("name: ${NAME}\nservices: {web: }", &path).unwrap_err();
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

const WEB: &str = "name: shop\nservices:\n  web: {cpus: 4, mem_limit: 8g}\n  db: {mem_limit: 2g}\n";

#[test]
fn a_file_laid_over_wins_and_is_said() {
    let over = "services:\n  web:\n    mem_limit: 12g\n  db: {cpus: !reset null, mem_limit: !override 3g}\n  extra: {cpus: 1}\n";
    let (_folder, file) = folder(&[("compose.yaml", WEB), ("compose.override.yaml", over)]);
    let live = file.read().unwrap();
    assert_eq!(live.resources["shop/web"], state(4.0, 12 * GIB));
    assert_eq!(live.resources["shop/db"].memory_bytes, Some(3 * GIB));
    assert_eq!(live.resources["shop/extra"].cpu_cores, Some(1.0));
    assert!(live.notes.iter().any(|note| note.what.contains("compose.override.yaml")), "{:?}", live.notes);
    let set_there = |note: &&Note| note.what.contains("is set, and changed, in compose.override.yaml");
    let named: Vec<_> = live.notes.iter().filter(set_there).filter_map(|note| note.resource.as_deref()).collect();
    assert_eq!(named, ["shop/db", "shop/extra", "shop/web"]);
}

#[test]
fn dotenv_names_the_project_its_files_and_fills_figures_in() {
    let env = "COMPOSE_PROJECT_NAME=Real\nCOMPOSE_FILE=base.yml:compose.yaml\nMEM=3g\n";
    let text =
        "name: shop\nservices:\n  web: {mem_limit: '${MEM:-8g}', cpus: '${CPUS:-4}'}\n  db: {scale: '${N:-3}'}\n";
    let base = "services:\n  web: {deploy: {replicas: 2}}\n  db: {mem_limit: 1g}\n";
    let over = "services: {web: {cpus: 9}}\n";
    let files = [("compose.yaml", text), (".env", env), ("base.yml", base), ("compose.override.yaml", over)];
    let (_folder, file) = folder(&files);
    let live = file.read().unwrap();
    assert_eq!(live.resources["real/web"], state(4.0, 3 * GIB), "COMPOSE_FILE leaves the override out");
    assert_eq!(live.resources["real/db"].memory_bytes, Some(GIB));
    assert_eq!(live.replicas, BTreeMap::from([("real/db".to_owned(), 3), ("real/web".to_owned(), 2)]));
    assert!(live.notes.iter().any(|note| note.what.contains("${MEM:-8g}")), "{:?}", live.notes);
    let refused =
        file.refusals(&[change("real/web", Some(1.0), None), change("real/db", None, Some(2 * GIB))]).unwrap();
    assert!(format!("{:?}", refused[0].error).contains("variable") && refused.len() == 1, "{refused:?}");
}

#[test]
fn included_and_extended_files_are_read() {
    let text = "name: shop\ninclude:\n  - team/db.yml\n  - path: [team/a.yml, team/b.yml]\n  - https://example.org/x.git\nservices:\n  web:\n    extends: {file: common.yml, service: web}\n    cpus: 2\n";
    let common = "services:\n  web: {extends: {file: team/base.yml, service: web}, image: a}\n";
    let files = [
        ("compose.yaml", text),
        ("common.yml", common),
        ("team/base.yml", "services: {web: {mem_limit: 1g}}\n"),
        ("team/db.yml", "include: [more.yml]\nservices: {db: {mem_limit: 4g}}\n"),
        ("team/more.yml", "services: {more: {cpus: 3}}\n"),
        ("team/a.yml", "services: {a: {cpus: 1, mem_limit: 1g}}\n"),
        ("team/b.yml", "services: {a: {cpus: 5}}\n"),
    ];
    let (_folder, file) = folder(&files);
    let live = file.read().unwrap();
    assert_eq!(live.resources["shop/web"], state(2.0, GIB));
    assert_eq!(live.resources["shop/db"].memory_bytes, Some(4 * GIB));
    assert_eq!(live.resources["shop/more"].cpu_cores, Some(3.0));
    assert_eq!(live.resources["shop/a"], state(5.0, GIB));
    assert!(live.notes.iter().any(|note| note.what.contains("includes team/db.yml")), "{:?}", live.notes);
    assert!(live.notes.iter().any(|note| note.what.contains("example.org")), "{:?}", live.notes);
}

#[test]
fn a_project_of_its_own_shape_never_ends_the_program() {
    for (include, extends, what) in [
        ("[]", "{service: api}", "extends itself"),
        ("[]", "{file: compose.yaml, service: web}", "extends itself"),
        ("[]", "{service: none}", "extends \"none\", which is not in this file"),
        ("[/dev/zero]", "{service: base}", "/dev/zero, which cannot be read"),
        ("[.]", "{service: base}", "which cannot be read"),
        ("[compose.yaml]", "{service: base}", "in a circle: compose.yaml -> compose.yaml"),
        ("[a.yml]", "{service: base}", "in a circle: a.yml -> b.yml -> a.yml"),
    ] {
        let text = format!(
            "include: {include}\nservices:\n  base: {{cpus: 1}}\n  web: {{extends: {extends}}}\n  api: {{extends: {{service: web}}}}\n"
        );
        let (_folder, file) = folder(&[
            ("compose.yaml", &text),
            ("a.yml", "include: [b.yml]\n"),
            ("b.yml", "include: [a.yml]\n"),
            (".env", "A=${A:-${A}}\nCOMPOSE_FILE=\n"),
        ]);
        let error = file.read().unwrap_err();
        let StackError::In { source, .. } = &error else { panic!("{error:?}") };
        assert!(source.to_string().contains(what) && !error.is_refusal(), "{what}: {source}");
    }
}

#[test]
fn a_project_that_compose_refuses_is_refused() {
    let web = "include: [a.yml, b.yml]\nservices: {web: {cpus: 1}}\n";
    for (files, what) in [
        (
            vec![("a.yml", "services: {x: {cpus: 1}}\n"), ("b.yml", "services: {x: {cpus: 2}}\n")],
            "x is in both a.yml and b.yml",
        ),
        (
            vec![("a.yml", "services: {web: {cpus: 2}}\n"), ("b.yml", "{}\n")],
            "web is in both compose.yaml and a.yml, which it includes",
        ),
        (vec![("a.yml", "{}\n"), ("b.yml", "- x\n")], "b.yml, which cannot be read: it is not a Compose file"),
        (vec![("a.yml", "{}\n"), ("b.yml", "{}\n"), (".env", "A='x\n")], ".env cannot be read as variables: line 1"),
        (
            vec![("a.yml", "{}\n"), ("b.yml", "{}\n"), (".env", "COMPOSE_FILE=compose.yaml:/etc/passwd\n")],
            "/etc/passwd belongs to the project, and cannot be read",
        ),
    ] {
        let (_folder, file) = folder(&[&[("compose.yaml", web)], &files[..]].concat());
        let StackError::In { source, .. } = file.read().unwrap_err() else { panic!("{what}") };
        assert!(source.to_string().contains(what), "{what}: {source}");
        assert!(source.hint().is_some());
    }
    // A file that is not here may come with another checkout.
    let apart = "include: [a.yml]\nservices:\n  web: {extends: {file: b.yml, service: x}}\n  api: {cpus: 1}\n";
    let (_folder, file) = folder(&[("compose.yaml", apart)]);
    let live = file.read().unwrap();
    assert!(live.resources.iter().any(|(name, state)| name.ends_with("/api") && state.cpu_cores == Some(1.0)));
    for what in ["it includes a.yml, which is not there", "extends one of b.yml, which is not there"] {
        assert!(live.notes.iter().any(|note| note.what.contains(what)), "{what}: {:?}", live.notes);
    }
    // The same twice is no contradiction, and an override may change what another file includes.
    let same = "services: {x: {cpus: 1}}\n";
    let over = "services: {x: {cpus: 3}}\n";
    let (_folder, file) = folder(&[
        ("compose.yaml", web),
        ("a.yml", same),
        ("b.yml", "include: [a.yml]\n"),
        ("compose.override.yaml", over),
    ]);
    let resources = file.read().unwrap().resources;
    assert!(
        resources.iter().any(|(name, state)| name.ends_with("/x") && state.cpu_cores == Some(3.0)),
        "{resources:?}"
    );
    let twice = format!("{0},{0}", file.path().display());
    let error = ComposeFile::named(&twice).read().unwrap_err();
    assert!(matches!(error, StackError::NamedTwice { .. }), "{error:?}");
}
