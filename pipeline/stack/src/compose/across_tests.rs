//! Projects of several files: each limit is changed where it is set, and everything is restored.

use super::read_tests::{change, folder, state};
use super::*;
use crate::journal::Step;
use crate::target::{Stand, parse_target};
use domain::units::{GIB, MIB};
use tempfile::TempDir;

/// Changes a project as an apply does, with the state before that it has; the texts that were written, by file name.
#[track_caller]
fn applied(folder: &TempDir, file: &ComposeFile, wanted: &[(&str, State)]) -> BTreeMap<String, String> {
    let live = file.read().unwrap();
    let changes: Vec<Change> = wanted
        .iter()
        .map(|(resource, after)| Change {
            before: live.resources[*resource],
            ..change(resource, after.cpu_cores, after.memory_bytes)
        })
        .collect();
    let refusals = file.refusals(&changes).unwrap();
    assert!(refusals.is_empty(), "{refusals:?}");
    let before = file.texts().unwrap();
    let mut session = file.hold().unwrap();
    let steps = session.prepare(&live.digest, &changes).unwrap();
    for step in &steps {
        session.carry_out(step).unwrap();
        assert_eq!(session.stands(step).unwrap(), Stand::After);
    }
    let after = file.read().unwrap();
    for (resource, state) in wanted {
        let found = after.resources[*resource];
        assert_eq!(state.cpu_cores.or(found.cpu_cores), found.cpu_cores, "{resource}");
        assert_eq!(state.memory_bytes.or(found.memory_bytes), found.memory_bytes, "{resource}");
    }
    let others = |live: &Live| -> Vec<(String, State)> {
        let is_other = |name: &String| wanted.iter().all(|(resource, _)| resource != name);
        live.resources.iter().filter(|(name, _)| is_other(name)).map(|(name, state)| (name.clone(), *state)).collect()
    };
    assert_eq!(others(&live), others(&after));
    let now = file.texts().unwrap();
    let name = |path: &Path| path.strip_prefix(folder.path()).unwrap_or(path).display().to_string();
    let changed = now.iter().filter(|(path, text)| before[*path] != **text);
    let changed: BTreeMap<String, String> = changed.map(|(path, text)| (name(path), text.clone())).collect();
    undone(&mut *session, &steps);
    assert_eq!(file.texts().unwrap(), before, "every byte is restored");
    changed
}

fn undone(session: &mut dyn Session, steps: &[Step]) {
    for step in steps.iter().rev() {
        session.undo(step).unwrap();
        assert_eq!(session.stands(step).unwrap(), Stand::Before);
    }
}

fn cpu(cores: f64) -> State {
    State { cpu_cores: Some(cores), memory_bytes: None }
}

fn memory(bytes: u64) -> State {
    State { cpu_cores: None, memory_bytes: Some(bytes) }
}

const BASE: &str = "name: shop\nservices:\n  web: {cpus: 4, mem_limit: 8g}   # as ever\n  db: {mem_limit: 2g}\n";

#[test]
fn a_limit_is_changed_in_the_file_that_sets_it_last() {
    let over = "services:\n  web:\n    mem_limit: 12g # more here\n  extra: {cpus: 1}\n";
    let (folder, file) = folder(&[("compose.yaml", BASE), ("compose.override.yaml", over)]);
    let wanted = [("shop/web", state(1.0, GIB)), ("shop/extra", cpu(2.0)), ("shop/db", memory(GIB))];
    let written = applied(&folder, &file, &wanted);
    assert_eq!(written["compose.yaml"], BASE.replace("cpus: 4", "cpus: 1").replace("2g", "1g"));
    assert_eq!(written["compose.override.yaml"], over.replace("12g", "1g").replace("cpus: 1", "cpus: 2"));
}

#[test]
fn files_that_are_named_are_laid_over_each_other_in_their_order() {
    let dev = "services:\n  web: {deploy: {replicas: 2}, cpus: 3}\n";
    let mine = "services:\n  web: {mem_limit: 6g}\n";
    let ignored = "services: {web: {cpus: 99}}\n";
    let files = [
        ("base.yml", BASE),
        ("dev/dev.yml", dev),
        ("dev/mine.yml", mine),
        ("compose.override.yaml", ignored),
        (".env", "COMPOSE_FILE=base.yml\n"),
    ];
    let (folder, _) = folder(&files);
    let path = |name: &str| folder.path().join(name).display().to_string();
    let spec = format!("compose:{},{},{}", path("base.yml"), path("dev/dev.yml"), path("dev/mine.yml"));
    let target = parse_target(&spec).unwrap();
    assert_eq!(target.read().unwrap().resources["shop/web"], state(3.0, 6 * GIB));
    assert_eq!(target.read().unwrap().replicas["shop/web"], 2);
    let file = ComposeFile::named(&target.reference().location);
    let wanted = [("shop/web", state(1.5, GIB)), ("shop/db", state(0.5, GIB))];
    let written = applied(&folder, &file, &wanted);
    assert_eq!(written["dev/dev.yml"], dev.replace("cpus: 3", "cpus: 1.5"));
    assert_eq!(written["dev/mine.yml"], mine.replace("6g", "1g"));
    assert_eq!(written["base.yml"], BASE.replace("{mem_limit: 2g}", "{mem_limit: 1g, cpus: 0.5}"));
    assert_eq!(written.len(), 3);
}

#[test]
fn included_files_have_folders_and_variables_of_their_own() {
    let text = "name: shop\ninclude:\n  - team/db.yml\n  - path: [team/a.yml, team/b.yml]\n    project_directory: team/a\n    env_file: [team/one.env, team/two.env]\nservices:\n  web: {mem_limit: 1g}\n";
    let a = "services:\n  a: {cpus: '${A_CPUS}', mem_limit: '${A_MEMORY}', extends: {file: own.yml, service: own}}\n";
    let b = "services: {a: {mem_limit: 3g}} # b\n";
    let files = [
        ("compose.yaml", text),
        ("team/db.yml", "include: [more.yml]\nservices: {db: {mem_limit: '${DB_MEMORY:-4g}', cpus: 2}}\n"),
        ("team/more.yml", "services:\n  more: {cpus: 3}\n"),
        ("team/.env", "DB_MEMORY=5g\n"),
        ("team/a.yml", a),
        ("team/b.yml", b),
        ("team/a/own.yml", "services: {own: {deploy: {replicas: 3}}}\n"),
        ("team/one.env", "A_CPUS=1\nA_MEMORY=9g\n"),
        ("team/two.env", "A_CPUS=7\n"),
    ];
    let (folder, file) = folder(&files);
    let live = file.read().unwrap();
    assert_eq!(live.resources["shop/db"], state(2.0, 5 * GIB));
    assert_eq!(live.resources["shop/a"], state(7.0, 3 * GIB), "of several env files the last one wins");
    assert_eq!(live.replicas["shop/a"], 3, "paths are relative to the project_directory");
    let wanted = [("shop/more", cpu(1.0)), ("shop/a", memory(GIB)), ("shop/web", memory(2 * GIB))];
    let written = applied(&folder, &file, &wanted);
    assert_eq!(written["team/more.yml"], files[2].1.replace('3', "1"));
    assert_eq!(written["team/b.yml"], b.replace("3g", "1g"));
    assert_eq!(written["compose.yaml"], text.replace("1g", "2g"));
    let refused = file.refusals(&[change("shop/db", None, Some(GIB)), change("shop/a", Some(1.0), None)]).unwrap();
    assert!(refused.iter().all(|one| format!("{:?}", one.error).contains("variable")) && refused.len() == 2);
}

#[test]
fn what_a_service_extends_in_another_file_is_changed_there_unless_others_share_it() {
    let text = "name: shop\nservices:\n  web: {extends: {file: common/web.yml, service: base}}\n  api: {extends: {file: common/api.yml, service: base}}\n  worker: {extends: {file: common/api.yml, service: base}}\n  out: {extends: {file: ../out.yml, service: base}}\n";
    let (web, api) = ("services:\n  base: {mem_limit: 2g, cpus: 1}\n", "services:\n  base: {mem_limit: 4g}\n");
    let files = [("p/compose.yaml", text), ("p/common/web.yml", web), ("p/common/api.yml", api), ("out.yml", api)];
    let (folder, file) = folder(&files);
    let written = applied(&folder, &file, &[("shop/web", memory(GIB))]);
    assert_eq!(written, BTreeMap::from([("p/common/web.yml".to_owned(), web.replace("2g", "1g"))]));
    let alike = [("shop/api", memory(GIB)), ("shop/worker", memory(GIB))];
    let written = applied(&folder, &file, &alike);
    assert_eq!(written["p/common/api.yml"], api.replace("4g", "1g"));
    for (resource, why) in
        [("shop/api", "worker has its limit from the same place"), ("shop/out", "out of the project")]
    {
        let refused = file.refusals(&[change(resource, None, Some(GIB))]).unwrap();
        assert!(refused.len() == 1 && format!("{:?}", refused[0].error).contains(why), "{refused:?}");
    }
}

#[test]
fn services_of_a_profile_that_is_off_are_read_and_said() {
    let text = "name: shop\nservices:\n  web: {mem_limit: 1g}\n  debug: {mem_limit: 1g, profiles: [debug, all]}\n  seed: {mem_limit: 1g, profiles: [seed]}\n";
    let (_folder, file) = folder(&[("compose.yaml", text), (".env", "COMPOSE_PROFILES=seed,x\n")]);
    let live = file.read().unwrap();
    assert_eq!(live.resources.len(), 3);
    let off = live.notes.iter().filter(|note| note.what.contains("the profile debug or all"));
    assert_eq!(off.filter_map(|note| note.resource.as_deref()).collect::<Vec<_>>(), ["shop/debug"]);
    assert!(!live.notes.iter().any(|note| note.what.contains("the profile seed")));
}

#[test]
fn a_file_around_that_changed_since_is_drift_and_a_reset_limit_is_written_where_it_is_missing() {
    let over = "services:\n  web: {mem_limit: !reset null}\n";
    let (folder, file) = folder(&[("compose.yaml", BASE), ("compose.override.yaml", over)]);
    let live = file.read().unwrap();
    assert_eq!(live.resources["shop/web"], cpu(4.0));
    std::fs::write(folder.path().join("compose.override.yaml"), format!("# new\n{over}")).unwrap();
    let mut session = file.hold().unwrap();
    let planned = Change { before: live.resources["shop/web"], ..change("shop/web", Some(1.0), None) };
    let error = session.prepare(&live.digest, &[planned]).unwrap_err();
    assert!(matches!(error, StackError::Drifted { .. }), "{error:?}");
    let wanted = change("shop/web", None, Some(512 * MIB));
    assert_eq!(file.refusals(&[wanted]).unwrap().len(), 1, "what `!reset` takes away is not put back under it");
}

#[test]
fn a_file_that_was_named_must_be_there() {
    let (folder, _) = folder(&[("a.yaml", "services:\n  web: {image: box, cpus: 2}\n")]);
    let at = |name: &str| folder.path().join(name).display().to_string();
    let of = |paths: &str| ComposeFile::named(paths).read();
    assert!(matches!(of(&format!("{},{}", at("a.yaml"), at("nope.yaml"))), Err(StackError::Read { .. })));
    std::fs::write(folder.path().join("b.yaml"), "services:\n  web: {cpus: 1}\n").unwrap();
    let both = of(&format!("{}, {}", at("a.yaml"), at("b.yaml"))).unwrap();
    assert!(both.resources.values().all(|state| state.cpu_cores == Some(1.0)), "{:?}", both.resources);
}
