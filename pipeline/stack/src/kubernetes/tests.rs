use super::*;
use crate::apply::{How, Work, apply, rollback};
use crate::files::tests::journal;
use crate::health::Health;
use crate::{Done, Held};
use domain::Timestamp;
use domain::plan::PlannedTarget;
use domain::units::{GIB, MIB};
use proptest::prelude::*;
use std::fs;

const DEPLOYMENT: &str = "\
# shop
apiVersion: apps/v1
kind: Deployment
metadata: {name: web, namespace: shop}   # one line
spec:
  replicas: 3
  template:
    spec:
      containers:
        - name: web
          image: nginx:1.29
          resources:
            limits: { cpu: \"2\", memory: 1Gi }
            requests:
              cpu: 500m # a quarter
              memory: 512Mi
        - name: side
          image: envoy
          args: [-Xmx256m]
---
apiVersion: batch/v1
kind: CronJob
metadata:
  name: nightly
spec:
  jobTemplate:
    spec:
      template:
        spec:
          containers:
          - name: run
            resources:
              requests: {memory: 256Mi}
";

fn folder(files: &[(&str, &str)]) -> tempfile::TempDir {
    let folder = tempfile::tempdir().unwrap();
    for (name, text) in files {
        let path = folder.path().join(name);
        fs::create_dir_all(path.parent().unwrap()).unwrap();
        fs::write(path, text).unwrap();
    }
    folder
}

fn state(cpu_cores: f64, memory_bytes: u64) -> State {
    State { cpu_cores: Some(cpu_cores), memory_bytes: Some(memory_bytes) }
}

fn change(resource: &str, before: State, after: State) -> Change {
    Change {
        item_id: "i".into(),
        resource: resource.into(),
        on: "kubernetes".into(),
        before,
        after,
        task: None,
        requests: None,
        text: None,
        follows: false,
    }
}

/// The files with these changes made, by name.
fn edited(target: &KubernetesFolder, changes: &[Change]) -> BTreeMap<String, String> {
    let (edited, refusals) = target.tried(&target.texts().unwrap(), changes).unwrap();
    assert!(refusals.is_empty(), "{refusals:?}");
    let name = |path: &Path| path.strip_prefix(&target.path).unwrap().display().to_string();
    edited.into_iter().map(|(path, text)| (name(&path), text)).collect()
}

#[test]
fn limits_are_read_and_set_with_the_requests_beside_them() {
    let folder = folder(&[("web.yaml", DEPLOYMENT), ("README.md", "kind: Deployment"), (".git/x.yaml", DEPLOYMENT)]);
    let target = KubernetesFolder::new(folder.path());
    let live = target.read().unwrap();
    let names: Vec<&str> = live.resources.keys().map(String::as_str).collect();
    assert_eq!(names, ["default/nightly", "shop/web", "shop/web/side"]);
    assert_eq!(live.resources["shop/web"], state(2.0, GIB));
    assert_eq!(live.resources["default/nightly"].memory_bytes, Some(256 * MIB));
    assert_eq!(live.replicas["shop/web"], 3);
    assert_eq!(target.setups().unwrap()["shop/web/side"].words, ["-Xmx256m"]);

    let changes = [
        change("shop/web", live.resources["shop/web"], state(1.0, 768 * MIB)),
        change("shop/web/side", State::default(), state(0.25, 128 * MIB)),
        change("default/nightly", State::default(), State { cpu_cores: None, memory_bytes: Some(GIB) }),
    ];
    let wanted = DEPLOYMENT
        .replace("cpu: \"2\", memory: 1Gi", "cpu: \"1\", memory: 768Mi")
        .replace("cpu: 500m", "cpu: 250m")
        .replace("memory: 512Mi", "memory: 384Mi")
        .replace(
            "args: [-Xmx256m]\n",
            "args: [-Xmx256m]\n          resources:\n            limits:\n              cpu: 250m\n              memory: 128Mi\n",
        )
        .replace("{memory: 256Mi}", "{memory: 1Gi}");
    assert_eq!(edited(&target, &changes)["web.yaml"], wanted);
}

#[test]
fn requests_are_set_apart_from_limits_where_they_are_asked_for() {
    let folder = folder(&[("web.yaml", DEPLOYMENT)]);
    let target = KubernetesFolder::new(folder.path());
    let live = target.read().unwrap();
    assert_eq!(live.requests["shop/web"], state(0.5, 512 * MIB));
    assert!(!live.requests.contains_key("shop/web/side"));
    let requests = Some(state(0.1, 700 * MIB));
    let to = |after| Change { requests, ..change("shop/web", live.resources["shop/web"], after) };
    // The limits stay: only what is reserved is written.
    let wanted = DEPLOYMENT.replace("cpu: 500m", "cpu: 100m").replace("memory: 512Mi", "memory: 700Mi");
    assert_eq!(edited(&target, &[to(state(2.0, GIB))])["web.yaml"], wanted);
    // No request is above its limit.
    let wanted = DEPLOYMENT
        .replace("cpu: \"2\", memory: 1Gi", "cpu: \"1\", memory: 600Mi")
        .replace("cpu: 500m", "cpu: 100m")
        .replace("memory: 512Mi", "memory: 600Mi");
    assert_eq!(edited(&target, &[to(state(1.0, 600 * MIB))])["web.yaml"], wanted);
}

#[test]
fn what_is_shared_or_no_amount_is_refused_and_the_other_figure_is_not() {
    let text = "\
x: &r {limits: {cpu: 1, memory: 1Gi}}
kind: Deployment
metadata: {name: a}
spec: {template: {spec: {containers: [{name: a, resources: *r}, {name: b, resources: {limits: {cpu: lots, memory: 1Gi}}}]}}}
";
    let folder = folder(&[("a.yaml", text)]);
    let target = KubernetesFolder::new(folder.path());
    let changes = [
        change("default/a", state(1.0, GIB), state(2.0, GIB)),
        change("default/a/b", state(1.0, GIB), state(2.0, 2 * GIB)),
    ];
    let (edited, refusals) = target.tried(&target.texts().unwrap(), &changes).unwrap();
    let refused: Vec<(crate::target::Figure, String)> =
        refusals.iter().map(|refusal| (refusal.figure, refusal.error.to_string())).collect();
    assert_eq!(refused.len(), 2, "{refused:?}");
    assert!(refused[0].1.contains("alias"), "{refused:?}");
    assert!(refused[1].1.contains("no amount"), "{refused:?}");
    assert_eq!(edited.into_values().next().unwrap(), text.replace("lots, memory: 1Gi", "lots, memory: 2Gi"));
}

#[test]
fn a_kustomization_lays_patches_over_bases_and_only_its_own_files_are_changed() {
    let base = "kind: Deployment\nmetadata:\n  name: web\nspec:\n  template:\n    spec:\n      containers:\n      - name: app\n        resources:\n          limits:\n            cpu: 1\n            memory: 1Gi\n";
    let patch = "kind: Deployment\nmetadata:\n  name: web\nspec:\n  template:\n    spec:\n      containers:\n      - name: app\n        resources:\n          limits:\n            memory: 2Gi # prod\n";
    let folder = folder(&[
        ("base/kustomization.yaml", "resources: [web.yaml]\n"),
        ("base/web.yaml", base),
        (
            "prod/kustomization.yaml",
            "namespace: prod\nnamePrefix: p-\nresources:\n- ../base\n- https://example.org/x?ref=1\npatches:\n- path: memory.yaml\n",
        ),
        ("prod/memory.yaml", patch),
    ]);
    let target = KubernetesFolder::new(folder.path().join("prod"));
    let live = target.read().unwrap();
    assert_eq!(live.resources["prod/p-web"], state(1.0, 2 * GIB));
    assert!(live.notes.iter().any(|note| note.what.contains("not on disk")), "{:?}", live.notes);
    let memory = State { cpu_cores: None, memory_bytes: Some(GIB) };
    let done = edited(&target, &[change("prod/p-web", live.resources["prod/p-web"], memory)]);
    assert_eq!(done["memory.yaml"], patch.replace("2Gi", "1Gi"));
    let cpu = change("prod/p-web", live.resources["prod/p-web"], state(2.0, 2 * GIB));
    let refusals = target.refusals(&[cpu]).unwrap();
    assert_eq!(refusals.len(), 1);
    assert!(refusals[0].error.to_string().contains("base/web.yaml") && refusals[0].error.is_refusal());

    // All files of both folders as one plain folder: the same name twice is not guessed at.
    fs::write(folder.path().join("base/kustomization.yaml"), "resources: [web.yaml, web.yaml]\n").unwrap();
    let twice = KubernetesFolder::new(folder.path().join("base")).read().unwrap();
    assert_eq!(twice.resources["default/web"], State::default());
    assert!(twice.notes.iter().any(|note| note.what.contains("twice")));
}

#[test]
fn patches_that_cannot_be_read_leave_what_they_are_about_alone() {
    let json = "- op: replace\n  path: /spec/template/spec/containers/0/resources/limits/cpu\n  value: 4\n";
    let folder = folder(&[
        (
            "kustomization.yaml",
            "resources: [web.yaml]\npatches:\n- {path: op.yaml, target: {kind: Deployment, name: web}}\n",
        ),
        ("web.yaml", DEPLOYMENT),
        ("op.yaml", json),
    ]);
    let target = KubernetesFolder::new(folder.path());
    let live = target.read().unwrap();
    assert_eq!(live.resources["shop/web"], State::default());
    assert!(live.resources["default/nightly"].memory_bytes.is_some());
    let refusals = target.refusals(&[change("shop/web", State::default(), state(1.0, GIB))]).unwrap();
    assert_eq!(refusals.len(), 2);
    assert!(refusals[0].error.to_string().contains("JSON patch"));
}

#[test]
fn a_chart_is_sized_by_the_paths_of_its_values() {
    let values = "web:\n  image: a\n  resources:\n    limits: {cpu: 1, memory: 1Gi}\nworker:\n  resources: {}\nresources:\n  requests:\n    cpu: 100m\n";
    let folder = folder(&[
        ("Chart.yaml", "name: shop\nversion: 1.0.0\n"),
        ("values.yaml", values),
        ("templates/web.yaml", "kind: Deployment\nmetadata: {name: {{ .Release.Name }}}\n"),
    ]);
    let target = KubernetesFolder::new(folder.path());
    let live = target.read().unwrap();
    assert_eq!(live.resources.keys().collect::<Vec<_>>(), ["shop/shop", "shop/web", "shop/worker"]);
    let changes = [
        change("shop/web", live.resources["shop/web"], state(0.5, GIB)),
        change("shop/shop", live.resources["shop/shop"], State { cpu_cores: Some(0.2), memory_bytes: None }),
        change("shop/worker", State::default(), State { cpu_cores: None, memory_bytes: Some(GIB) }),
    ];
    let wanted = values
        .replace("cpu: 1,", "cpu: 500m,")
        .replace("100m", "200m")
        .replace("resources: {}", "resources: {limits: {memory: 1Gi}}");
    assert_eq!(edited(&target, &changes)["values.yaml"], wanted);
}

#[test]
fn apply_writes_each_file_and_rollback_restores_every_byte() {
    let folder = folder(&[
        ("a.yaml", DEPLOYMENT),
        ("b/b.yml", &DEPLOYMENT.replace("name: web,", "name: api,").replace("nightly", "weekly")),
    ]);
    let target = KubernetesFolder::new(folder.path());
    let live = target.read().unwrap();
    let before = target.texts().unwrap();
    let planned = PlannedTarget {
        id: "kubernetes".into(),
        kind: "kubernetes".into(),
        location: folder.path().to_string_lossy().into_owned(),
        prior_state_digest: live.digest.clone(),
    };
    let changes: Vec<Change> = ["shop/web", "shop/api/web"]
        .into_iter()
        .map(|name| change(name, live.resources[name], state(1.0, 512 * MIB)))
        .collect();
    let how = How { now: Timestamp(0), at_once: 1, health: Health::default(), work: Work::IGNORED };
    let mut journal = journal(&planned);
    let held = || vec![Held::new(&planned, &target).unwrap()];
    let done = apply(&mut held(), &changes, &mut journal, &how, &mut |_| Ok(())).unwrap();
    assert_eq!((done, journal.steps.len()), (Done::Written, 2));
    assert_eq!(target.read().unwrap().resources["shop/api/web"], state(1.0, 512 * MIB));
    assert_eq!(apply(&mut held(), &changes, &mut journal, &how, &mut |_| Ok(())).unwrap(), Done::Already);
    assert_eq!(rollback(&mut held(), &mut journal, &how, &mut |_| Ok(())).unwrap(), Done::Written);
    assert_eq!(target.texts().unwrap(), before);
    assert!(matches!(target.hold().and_then(|_held| target.hold()), Err(StackError::Locked { .. })));
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(64))]

    #[test]
    fn what_is_set_is_read_back_and_setting_it_back_restores_every_byte(
        cpu in 1_u64..8000, memory in 1_u64..8192, step in 1_usize..5, crlf in any::<bool>(), flow in any::<bool>(),
    ) {
        let pad = |depth: usize| " ".repeat(depth * step);
        let limits = match flow {
            true => format!("{}limits: {{cpu: 1500m , memory: '3Gi'}} # x\n", pad(3)),
            false => format!("{0}limits: # x\n{1}cpu: 1500m\n\n{1}memory: '3Gi' # y\n", pad(3), pad(4)),
        };
        let text = format!(
            "kind: Pod\nmetadata: {{name: p}}\nspec:\n{0}containers:\n{0}- name: p\n{0}  resources:\n{1}",
            pad(1),
            limits.lines().map(|line| format!("{}  {line}\n", pad(1))).collect::<String>()
        );
        let text = if crlf { text.replace('\n', "\r\n") } else { text };
        let folder = folder(&[("p.yaml", &text)]);
        let target = KubernetesFolder::new(folder.path());
        let old = state(1.5, 3 * GIB);
        prop_assert_eq!(target.read().unwrap().resources["default/p"], old);
        let new = state(cpu as f64 / 1000.0, memory * MIB);
        let there = target.tried(&target.texts().unwrap(), &[change("default/p", old, new)]).unwrap();
        prop_assert!(there.1.is_empty());
        let (path, changed) = there.0.into_iter().next().unwrap_or_else(|| (folder.path().join("p.yaml"), text.clone()));
        let texts = Texts::from([(path, changed)]);
        prop_assert_eq!(target.limits(&texts).unwrap()["default/p"], new);
        let back = target.tried(&texts, &[change("default/p", new, old)]).unwrap().0;
        prop_assert_eq!(back.into_values().next().unwrap_or_else(|| text.clone()), text);
    }
}

#[test]
fn a_request_that_cannot_be_read_does_not_hide_the_limit_beside_it() {
    let text = DEPLOYMENT.replace("cpu: 500m # a quarter", "cpu: half");
    let folder = folder(&[("web.yaml", &text)]);
    let target = KubernetesFolder::new(folder.path());
    let live = target.read().unwrap();
    assert_eq!(live.resources["shop/web"], state(2.0, GIB));
    assert_eq!(live.requests["shop/web"], State { cpu_cores: None, memory_bytes: Some(512 * MIB) });
    let of_web = live.notes.iter().filter(|note| note.resource.as_deref() == Some("shop/web"));
    assert_eq!(
        of_web.map(|note| note.what.as_str()).collect::<Vec<_>>(),
        ["`resources.requests.cpu: half` is no amount that Kubernetes takes"]
    );
    let to = |cores| change("shop/web", live.resources["shop/web"], state(cores, GIB));
    assert_eq!(edited(&target, &[to(3.0)])["web.yaml"], text.replace("cpu: \"2\"", "cpu: \"3\""));
    let refused = target.refusals(&[to(1.0)]).unwrap();
    assert_eq!(refused.len(), 1);
    assert!(refused[0].error.to_string().contains("may be below it"), "{refused:?}");
}
