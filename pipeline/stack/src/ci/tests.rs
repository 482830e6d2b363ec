use super::*;
use domain::plan::PlannedTarget;

const WORKFLOW: &str = "name: CI\non: push\n\njobs:\n  # the long one\n  build:\n    name: Build it\n    runs-on: ubuntu-latest-8   # large\n    \
    timeout-minutes: 360\n    steps:\n      - run: make\n  lint:\n    runs-on: [self-hosted, linux]\n    steps: []\n  \
    call:\n    uses: ./.github/workflows/other.yml\n";
const PIPELINE: &str = "default: {image: alpine}\n.base:\n  tags: [small]\nbuild:\n  script: [make]\n  tags:\n    - large  # eight cores\n  \
    timeout: 3h 30m\ntest:\n  extends: .base\n  script: [make test]\n";

fn change(resource: &str, before: JobLimits, after: JobLimits) -> Change {
    Change {
        item_id: "x-1".into(),
        resource: resource.into(),
        on: "ci".into(),
        before: State::default(),
        after: State::default(),
        task: Some(Task::Job { before, after }),
        requests: None,
        text: None,
        follows: false,
    }
}

fn limits(runner: Option<&str>, timeout_minutes: Option<u32>) -> JobLimits {
    JobLimits { runner: runner.map(str::to_owned), timeout_minutes }
}

#[test]
fn a_workflow_gets_another_runner_and_timeout_and_keeps_every_other_byte() {
    let folder = tempfile::tempdir().unwrap();
    let file = folder.path().join("ci.yml");
    fs::write(&file, WORKFLOW).unwrap();
    let target = CiFiles::new(System::Actions, folder.path());
    let jobs = target.jobs().unwrap();
    let names: Vec<&str> = jobs.iter().map(|job| job.resource.as_str()).collect();
    assert_eq!(names, ["ci.yml/build", "ci.yml/lint"]);
    assert_eq!((jobs[0].name.as_str(), jobs[0].workflow.as_deref()), ("Build it", Some("CI")));
    let before = limits(Some("ubuntu-latest-8"), Some(360));
    assert_eq!(jobs[0].limits, before);
    let texts = target.texts().unwrap();
    let wanted = change("ci.yml/build", before.clone(), limits(Some("ubuntu-latest-4"), Some(45)));
    let edited = target.edited(&texts, &[wanted]).unwrap();
    let new = WORKFLOW.replace("ubuntu-latest-8", "ubuntu-latest-4").replace("360", "45");
    assert_eq!(edited[&file], new);
    // A job without a timeout gets one; a list of labels is left alone.
    let lint = change("ci.yml/lint", limits(None, None), limits(None, Some(10)));
    let edited = target.edited(&texts, &[lint]).unwrap();
    assert_eq!(edited[&file], WORKFLOW.replace("    steps: []\n", "    steps: []\n    timeout-minutes: 10\n"));
    let runner = change("ci.yml/lint", limits(None, None), limits(Some("big"), None));
    assert!(target.job_refused(&runner).unwrap().unwrap().contains("list"));
    let moved = change("ci.yml/build", limits(Some("other"), Some(360)), limits(Some("x"), None));
    assert!(matches!(target.edited(&texts, &[moved]), Err(StackError::Drifted { .. })));
}

#[test]
fn a_pipeline_gets_another_tag_and_timeout() {
    let folder = tempfile::tempdir().unwrap();
    let file = folder.path().join(".gitlab-ci.yml");
    fs::write(&file, PIPELINE).unwrap();
    let target = CiFiles::new(System::Gitlab, &file);
    let jobs = target.jobs().unwrap();
    assert_eq!(jobs.iter().map(|job| job.name.as_str()).collect::<Vec<_>>(), ["build", "test"]);
    assert_eq!(jobs[0].limits, limits(Some("large"), Some(210)));
    let texts = target.texts().unwrap();
    let build = change(".gitlab-ci.yml/build", jobs[0].limits.clone(), limits(Some("medium"), Some(45)));
    let test = change(".gitlab-ci.yml/test", jobs[1].limits.clone(), limits(None, Some(20)));
    let edited = target.edited(&texts, &[build, test]).unwrap();
    let new = PIPELINE.replace("- large ", "- medium ").replace("3h 30m", "45m");
    assert_eq!(edited[&file], format!("{new}  timeout: 20m\n"));
    for (text, read) in [
        ("1 hour", Some(60)),
        ("90m", Some(90)),
        ("2 days", Some(2880)),
        ("1h 30m", Some(90)),
        ("30s", None),
        ("soon", None),
    ] {
        assert_eq!(gitlab::minutes(text), read, "{text}");
    }
}

#[test]
fn a_configuration_of_circleci_gets_another_class_and_no_timeout() {
    const CONFIG: &str = "version: 2.1\nexecutors:\n  big: {docker: [{image: cimg/base:2024.01}], resource_class: large}\njobs:\n  build:\n    docker:\n      - image: cimg/rust:1.95\n    \
        resource_class: xlarge # eight cores\n    steps: [checkout]\n  lint:\n    executor: big\n    steps: [checkout]\n  pick:\n    parameters: {size: {type: string}}\n    \
        machine: {image: default}\n    resource_class: << parameters.size >>\n    steps: [checkout]\nworkflows:\n  all:\n    jobs: [build, lint]\n";
    let folder = tempfile::tempdir().unwrap();
    let file = folder.path().join("config.yml");
    fs::write(&file, CONFIG).unwrap();
    let target = CiFiles::new(System::Circleci, &file);
    let jobs = target.jobs().unwrap();
    let names: Vec<&str> = jobs.iter().map(|job| job.resource.as_str()).collect();
    assert_eq!(names, ["config.yml/build", "config.yml/lint", "config.yml/pick"]);
    assert_eq!(jobs[0].limits, limits(Some("xlarge"), None));
    assert!(jobs.iter().all(|job| !job.has_timeout));
    assert_eq!(target.read().unwrap().notes.len(), 2, "an executor and a parameter");
    let texts = target.texts().unwrap();
    let build = |after| change("config.yml/build", jobs[0].limits.clone(), after);
    let edited = target.edited(&texts, &[build(limits(Some("medium"), None))]).unwrap();
    assert_eq!(edited[&file], CONFIG.replace(": xlarge #", ": medium #"));
    assert!(target.job_refused(&build(limits(None, Some(10)))).unwrap().unwrap().contains("no timeout"));
    let pick = change("config.yml/pick", limits(None, None), limits(Some("large"), None));
    assert!(target.job_refused(&pick).unwrap().unwrap().contains("parameter"));
}

#[test]
fn files_are_applied_and_rolled_back_to_the_byte() {
    use crate::apply::{Held, How, Work, apply, rollback};
    use crate::files::tests::journal;
    use crate::health::Health;
    let folder = tempfile::tempdir().unwrap();
    let file = folder.path().join("ci.yml");
    fs::write(&file, WORKFLOW).unwrap();
    let target = CiFiles::new(System::Actions, folder.path());
    let live = target.read().unwrap();
    let planned = PlannedTarget {
        id: "ci".into(),
        kind: "actions".into(),
        location: folder.path().display().to_string(),
        prior_state_digest: live.digest,
    };
    let mut held = [Held::new(&planned, &target).unwrap()];
    let mut journal = journal(&planned);
    let health = Health { command: None, timeout: std::time::Duration::from_secs(1) };
    let how = How { now: domain::Timestamp(0), at_once: 1, health, work: Work::IGNORED };
    let wanted =
        change("ci.yml/build", limits(Some("ubuntu-latest-8"), Some(360)), limits(Some("ubuntu-latest-4"), Some(30)));
    apply(&mut held, &[wanted], &mut journal, &how, &mut |_| Ok(())).unwrap();
    assert!(fs::read_to_string(&file).unwrap().contains("timeout-minutes: 30\n"));
    rollback(&mut held, &mut journal, &how, &mut |_| Ok(())).unwrap();
    assert_eq!(fs::read_to_string(&file).unwrap(), WORKFLOW);
}

#[test]
fn a_repository_is_told_by_its_origin() {
    let folder = tempfile::tempdir().unwrap();
    let inside = folder.path().join(".github/workflows");
    fs::create_dir_all(&inside).unwrap();
    fs::create_dir(folder.path().join(".git")).unwrap();
    for url in ["https://github.com/acme/api.git", "git@github.com:acme/api.git", "https://host/acme/api/"] {
        let config = format!("[core]\n\tbare = false\n[remote \"origin\"]\n\turl = {url}\n");
        fs::write(folder.path().join(".git/config"), config).unwrap();
        assert_eq!(repository(&inside).as_deref(), Some("acme/api"), "{url}");
    }
}
