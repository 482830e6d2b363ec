//! Versions of a whole stack: groups, checks, deployment in one plan over several targets, and a rollback that is killed at
//! every step.

use crate::disk_faults::library;
use crate::program::{Ended, Place, end, say};
use crate::s3_server::Bucket;
use serde_json::{Value, json};
use std::io::{Read as _, Write as _};
use std::net::TcpListener;

const NOW: &str = "2026-11-01T00:00:00Z";

const STACK: &str = r#"[[component]]
name = "api"
kind = "application"
version = "1.4.1"
target = "compose:api.yaml#api"

[[component]]
name = "api"
kind = "application"
version = "1.4.2"
digest = "sha256:aaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaa"
requires = { orders = "^8.1", payments = "^2" }
config = { WORKERS = "4" }
target = "compose:api.yaml#api"

[[component]]
name = "orders"
kind = "application"
version = "8.0.0"
target = "compose:orders.yaml#orders"

[[component]]
name = "orders"
kind = "application"
version = "8.1.0"
target = "compose:orders.yaml#orders"

[[component]]
name = "firewall"
kind = "network_policy"
version = "1.0.0"
config = { api = "tcp 18081 from 10.0.0.0/8" }
target = "file:firewall.nft"

[[component]]
name = "payments"
kind = "contract"
version = "2.1.0"
source = "payments-2.1.json"

[[component]]
name = "payments"
kind = "contract"
version = "2.2.0"
source = "payments-2.2.json"

[[group]]
name = "blue"
members = { api = "1.4.1", orders = "8.0.0" }

[[group]]
name = "green"
members = { api = "1.4.2", orders = "8.1.0", firewall = "1.0.0" }

[route]
target = "haproxy-map:routes.map"
steps = [1, 10, 25, 50, 100]
unit = "x-user"
"#;

const API: &str =
    "name: shop\nservices:\n  api: # the door\n    image: acme/api:1.4.1\n    environment:\n      WORKERS: 2\n";
const ORDERS: &str = "name: shop\nservices:\n  orders:\n    image: 'acme/orders:8.0.0'\n";
const MAP: &str = "# who goes where\nblue 100\ngreen 0\n";
const PAYMENTS: &str = r#"{"openapi":"3.0.3","paths":{"/pay":{"post":{"responses":{"200":{}}}},"/refund":{"post":{"responses":{"200":{}}}}}}"#;

/// The files that a rollback restores.
const FILES: [&str; 4] = ["api.yaml", "orders.yaml", "firewall.nft", "routes.map"];

/// A stack of two services in two files, a firewall and a route, on blue.
fn stack() -> Place {
    stack_in(Place::new())
}

fn stack_in(place: Place) -> Place {
    place.write("stack.toml", STACK);
    place.write("api.yaml", API);
    place.write("orders.yaml", ORDERS);
    place.write("firewall.nft", "# nothing yet\n");
    place.write("routes.map", MAP);
    place.write("payments-2.1.json", PAYMENTS);
    place.write("payments-2.2.json", PAYMENTS);
    let event = json!({"ts": "2026-10-01T00:00:00Z", "type": "annotation", "payload": {"note": "n"}});
    place.ingest(&[&place.write("first.ndjson", event.to_string())]);
    place
}

fn stands(place: &Place) -> Vec<String> {
    FILES.iter().map(|file| place.read(file)).collect()
}

fn at(place: &Place, arguments: &[&str]) -> Ended {
    place.run(&[&["--now", NOW], arguments].concat())
}

fn answered(ended: &Ended) -> Value {
    serde_json::from_str(&ended.out).unwrap_or_else(|error| panic!("{error}: {} {}", ended.out, ended.err))
}

/// Writes, approves and applies.
fn carried_out(place: &Place, plan: &[&str]) -> Value {
    let made = at(place, &[&["--json", "stack"], plan, &["-o", "plan.json"]].concat());
    assert_eq!(made.code, 0, "{} {}", made.out, made.err);
    place.json(&["--now", NOW, "approve", "plan.json"]);
    place.json(&["--now", NOW, "apply", "plan.json"]);
    answered(&made)
}

#[test]
fn a_group_is_one_file_under_its_digest_and_an_altered_one_is_refused() {
    let place = stack();
    let groups = place.json(&["--now", NOW, "stack", "group"])["groups"].clone();
    assert_eq!(groups.as_array().unwrap().len(), 2);
    let digest = groups[1]["digest"].as_str().unwrap();
    let again = place.json(&["--now", NOW, "stack", "group", "green"]);
    assert_eq!(again["groups"][0]["digest"], digest);
    let kept: Vec<_> = std::fs::read_dir(place.path("lake/stack/groups")).unwrap().collect();
    assert_eq!(kept.len(), 2);
    let file = format!("lake/stack/groups/{}.json", &digest["sha256:".len()..]);
    let altered = place.read(&file).replace("1.4.2", "1.4.9");
    place.write(&file, altered);
    for command in
        [&["stack", "group", "green"][..], &["stack", "check", digest], &["stack", "deploy", digest, "-o", "p.json"]]
    {
        let refused = at(&place, command);
        assert_eq!(refused.code, 4, "{command:?}: {} {}", refused.out, refused.err);
        assert!(refused.err.contains("was altered"), "{}", refused.err);
    }
}

#[test]
fn a_malformed_stack_is_told_with_its_line() {
    let place = stack();
    place.write("stack.toml", STACK.replace("orders = \"^8.1\"", "orders = \"^9\""));
    let refused = at(&place, &["stack", "status"]);
    assert_eq!(refused.code, 1);
    assert!(refused.err.contains("line 12: api 1.4.2 requires orders ^9, which is 8.0.0, 8.1.0"), "{}", refused.err);
    let schema = place.json(&["schema", "stack"]);
    let known = schema["properties"]["component"]["items"]["properties"].as_object().unwrap();
    for field in ["name", "kind", "version", "digest", "requires", "config", "health", "target", "source", "rollback"] {
        assert!(known.contains_key(field), "{field}");
    }
}

#[test]
fn status_asks_health_and_finds_drift() {
    let place = stack();
    let listener = TcpListener::bind("127.0.0.1:0").unwrap();
    let url = format!("http://{}/healthz", listener.local_addr().unwrap());
    std::thread::spawn(move || {
        for status in ["200 OK", "503 Down", "200 OK"] {
            let (mut stream, _) = listener.accept().unwrap();
            let _ = stream.read(&mut [0; 1024]);
            let _ = stream.write_all(format!("HTTP/1.1 {status}\r\ncontent-length: 0\r\n\r\n").as_bytes());
        }
    });
    let healthy = STACK.replacen("version = \"1.4.1\"\n", &format!("version = \"1.4.1\"\nhealth = \"{url}\"\n"), 1);
    // Without the firewall, which is not there yet, blue is all there is.
    place.write("stack.toml", healthy.replace("target = \"file:firewall.nft\"\n", ""));
    let well = at(&place, &["--json", "stack", "status"]);
    let said = answered(&well);
    assert_eq!(well.code, 0, "{said:#}");
    assert_eq!((&said["drift"], &said["unhealthy"]), (&json!(false), &json!(0)));
    assert_eq!(said["components"][0]["version"], "1.4.1");
    assert_eq!(said["groups"][0]["is_live"], true);
    let ill = at(&place, &["--json", "stack", "status"]);
    assert_eq!((ill.code, &answered(&ill)["components"][0]["health"]["status"]), (3, &json!(503)));
    place.write("api.yaml", API.replace("1.4.1", "1.3.0"));
    let drifted = at(&place, &["--json", "stack", "status", "--record"]);
    let said = answered(&drifted);
    assert_eq!((drifted.code, &said["drift"]), (3, &json!(true)));
    assert!(said["components"][0]["drift"].as_str().unwrap().contains("image is acme/api:1.3.0"), "{said:#}");
    place.json(&["--now", NOW, "materialize"]);
    let versions = place.sql("select component, version, health, is_live from stack.versions order by component");
    assert_eq!(versions[0], json!({"component": "api", "version": "1.3.0", "health": "healthy", "is_live": true}));
    assert_eq!(versions[1]["version"], "8.0.0");
}

#[test]
fn a_group_is_checked_by_runs_and_contracts() {
    let place = stack();
    let check = |group: &str| {
        let ended = at(&place, &["--json", "stack", "check", group]);
        (ended.code, answered(&ended))
    };
    assert_eq!(check("blue").0, 0, "it requires nothing");
    let (code, said) = check("green");
    assert_eq!(code, 5, "nothing was measured: {said:#}");
    let run = |n: usize, result: &str| {
        json!({"ts": format!("2026-10-0{n}T00:00:00Z"), "type": "ci_run", "repo": "acme/shop", "payload": {
            "run_id": n.to_string(), "duration_ms": 1000, "result": result,
            "components": {"api": "1.4.2", "orders": "8.1.0"}}})
        .to_string()
    };
    let measure = |runs: &[String]| {
        place.ingest(&[&place.write("runs.ndjson", runs.join("\n"))]);
        place.json(&["--now", NOW, "materialize", "stack.compatibility"]);
    };
    measure(&[run(1, "success"), run(2, "success"), run(3, "success"), run(4, "failure")]);
    let (code, said) = check("green");
    assert_eq!(code, 0, "{said:#}");
    assert!(said.to_string().contains("3 runs passed, 1 failed"), "{said:#}");
    place.write("payments-2.2.json", PAYMENTS.replace("/refund", "/refunds"));
    let (code, said) = check("green");
    assert_eq!(code, 3);
    assert!(said.to_string().contains("/refund is gone"), "{said:#}");
    let blocked = at(&place, &["--json", "stack", "deploy", "green", "-o", "plan.json"]);
    assert_eq!(answered(&blocked)["applyable"], false, "{}", blocked.out);
    place.write("payments-2.2.json", PAYMENTS);
    measure(&[run(5, "failure"), run(6, "failure"), run(7, "failure")]);
    assert_eq!(check("green").0, 3, "more runs failed than passed");
}

#[test]
fn one_plan_promotes_a_group_and_one_snapshot_restores_everything() {
    let place = stack();
    let before = stands(&place);
    let snapshot = place.json(&["--now", NOW, "stack", "snapshot"])["digest"].as_str().unwrap().to_owned();
    assert_eq!(place.json(&["--now", NOW, "stack", "snapshot"])["digest"], snapshot.as_str(), "the same state");
    let plan = carried_out(&place, &["promote", "green"]);
    let order: Vec<&str> = plan["items"].as_array().unwrap().iter().map(|it| it["action"].as_str().unwrap()).collect();
    assert_eq!(order, ["deploy", "deploy", "deploy", "route"]);
    assert_eq!(plan["targets"].as_array().unwrap().len(), 4);
    assert_eq!(plan["items"][0]["task"]["component"], "orders", "what is required is deployed first");
    let green = stands(&place);
    let digest = "sha256:".to_owned() + &"a".repeat(64);
    assert_eq!(green[0], API.replace("1.4.1", &format!("1.4.2@{digest}")).replace("WORKERS: 2", "WORKERS: \"4\""));
    assert_eq!(green[1], ORDERS.replace("8.0.0", "8.1.0"));
    assert!(green[2].contains("ip saddr 10.0.0.0/8 tcp dport 18081 accept comment \"api\""), "{}", green[2]);
    assert_eq!(green[3], MAP.replace("blue 100", "blue 0").replace("green 0", "green 100"));
    assert_eq!(at(&place, &["stack", "status"]).code, 0);
    let nothing = at(&place, &["--json", "stack", "promote", "green", "-o", "again.json"]);
    assert_eq!((nothing.code, &answered(&nothing)["plan_id"]), (0, &Value::Null));
    place.json(&["--now", NOW, "materialize"]);
    let groups = place.sql("select \"group\", members, live_members, is_live from stack.groups");
    assert_eq!(groups, [json!({"group": "green", "members": 3, "live_members": 3, "is_live": true})]);
    carried_out(&place, &["deploy", "--snapshot", &snapshot]);
    let restored = stands(&place);
    assert_eq!(restored[..3], before[..3]);
    assert_eq!(restored[3], before[3]);
}

#[test]
fn what_a_target_would_refuse_is_not_promised() {
    let place = stack();
    place.write("orders.yaml", ORDERS.replace("'acme/orders:8.0.0'", "\"acme/orders:${TAG}\""));
    let refused = at(&place, &["stack", "deploy", "green", "-o", "plan.json"]);
    assert_eq!(refused.code, 4, "{} {}", refused.out, refused.err);
    assert!(refused.err.contains("comes from a variable") && !place.path("plan.json").exists(), "{}", refused.err);
}

#[test]
fn groups_plans_and_snapshots_are_kept_on_object_storage_as_in_a_folder() {
    let bucket = Bucket::start();
    let (folder, place) = (stack(), stack_in(Place::with(bucket.environment())));
    let kept = |place: &Place| place.json(&["--now", NOW, "stack", "group", "green"])["groups"][0]["digest"].clone();
    let digest = kept(&place);
    assert_eq!(digest, kept(&folder), "a digest tells nothing of where it is kept");
    let digest = digest.as_str().unwrap();
    let before = stands(&place);
    let snapshot = place.json(&["--now", NOW, "stack", "snapshot"])["digest"].as_str().unwrap().to_owned();
    carried_out(&place, &["promote", digest]);
    assert_eq!(at(&place, &["stack", "status"]).code, 0);
    carried_out(&place, &["deploy", "--snapshot", &snapshot]);
    assert_eq!(stands(&place), before);
    carried_out(&place, &["promote", "green"]);
    assert_eq!(at_(&place, "rollback").code, 0);
    assert_eq!(stands(&place), before);
    assert!(!place.path("lake").exists(), "it really is in the bucket");
    let object = bucket.objects().join(format!("some/lake/stack/groups/{}.json", &digest["sha256:".len()..]));
    let altered = std::fs::read_to_string(&object).unwrap().replace("1.4.2", "1.4.9");
    std::fs::write(&object, altered).unwrap();
    let refused = at(&place, &["stack", "deploy", digest, "-o", "p.json"]);
    assert!(refused.code == 4 && refused.err.contains("was altered"), "{} {}", refused.code, refused.err);
}

/// Keeps its version in a file, and what it did in another.
const MIGRATE: &str = r#"case $1 in
read) printf '{"versions":{"shop/orders-db":%s,"shop/other":null}}' "$(cat version.json)" ;;
do) to=after ;;
undo) to=before ;;
esac
[ "$to" ] || exit 0
new=$(sed 's/.*"'$to'":{"version":\("[^"]*"\)}.*/\1/')
echo "$1 $new" >> migrations.log
printf '%s' "$new" > version.json
"#;

#[test]
fn a_schema_is_migrated_with_its_group_and_back_and_a_contract_may_be_yaml() {
    let place = stack();
    let schema = |version: &str| {
        format!(
            "[[component]]\nname = \"orders-db\"\nkind = \"schema\"\nversion = \"{version}\"\n\
             target = \"exec:sh migrate.sh\"\n"
        )
    };
    let text = STACK
        .replace("version = \"8.1.0\"\n", "version = \"8.1.0\"\nrequires = { orders-db = \"^3.2\" }\n")
        .replace("orders = \"8.0.0\" }", "orders = \"8.0.0\", orders-db = \"3.1.0\" }")
        .replace("orders = \"8.1.0\", fire", "orders = \"8.1.0\", orders-db = \"3.2.0\", fire")
        .replace("payments-2.2.json", "payments-2.2.yaml");
    place.write("stack.toml", format!("{}{}{text}", schema("3.1.0"), schema("3.2.0")));
    place.write("migrate.sh", MIGRATE);
    place.write("version.json", "\"3.1.0\"");
    let yaml = "openapi: 3.0.3\npaths:\n  /pay:\n    post: {responses: {200: {}}}\n  /refund:\n    post: {responses: {200: {}}}\n";
    place.write("payments-2.2.yaml", yaml);
    let checked = answered(&at(&place, &["--json", "stack", "check", "green"]));
    assert!(checked.to_string().contains("payments 2.2.0 breaks nothing of 2.1.0"), "{checked:#}");
    place.write("payments-2.2.yaml", yaml.replace("/refund", "/refunds"));
    assert_eq!(at(&place, &["stack", "check", "green"]).code, 3);
    place.write("payments-2.2.yaml", yaml);

    let before = stands(&place);
    // From wherever it is applied, the command runs beside stack.toml.
    std::fs::create_dir(place.path("elsewhere")).unwrap();
    let plan = carried_out(&place, &["promote", "green"]);
    let first = &plan["items"][0]["task"];
    assert_eq!(
        (&first["component"], &first["was"], &first["version"]),
        (&"orders-db".into(), &"3.1.0".into(), &"3.2.0".into())
    );
    assert_eq!(place.read("version.json"), "\"3.2.0\"");
    let status = answered(&at(&place, &["--json", "stack", "status"]));
    assert_eq!(status["drift"], false, "{status:#}");
    let mut back = place.command(&["--now", NOW, "--lake", "../lake", "rollback", "../plan.json"]);
    back.current_dir(place.path("elsewhere"));
    let back = end(back);
    assert_eq!(back.code, 0, "{}", back.err);
    assert_eq!((place.read("version.json").as_str(), stands(&place)), ("\"3.1.0\"", before));
    assert_eq!(place.read("migrations.log"), "do \"3.2.0\"\nundo \"3.1.0\"\n");
    place.write("version.json", "\"2.0.0\"");
    let drifted = at(&place, &["stack", "status"]);
    assert!(
        drifted.code == 3 && drifted.out.contains("version is 2.0.0, not 3.1.0"),
        "{} {}",
        drifted.code,
        drifted.out
    );
}

/// Where users are sent to green, both of its services are there: nobody meets a mixture.
fn is_whole(place: &Place) -> bool {
    let [api, orders, _, map] = stands(place).try_into().unwrap();
    !map.contains("green 100") || (api.contains("acme/api:1.4.2@") && orders.contains("acme/orders:8.1.0"))
}

/// Kills a command on `plan.json` before and after each call that puts something in its place, and does it again: each time
/// `back` sets the stage, what was killed must leave `is_whole`, and what was done again what is wanted. How many were killed.
pub fn killed_everywhere(
    place: &Place,
    command: &str,
    back: &dyn Fn(&Place),
    stands: &dyn Fn() -> Vec<String>,
    want: &[String],
    is_whole: &dyn Fn(&Place) -> bool,
) -> usize {
    let count = place.path("count");
    let run = |at: u64, way: &str| {
        let mut program = place.command(&["--now", NOW, command, "plan.json"]);
        program.env("LD_PRELOAD", library()).env("DISK_FAULT_ROOT", place.path("").canonicalize().unwrap());
        program.env("DISK_FAULT_AT", at.to_string()).env("DISK_FAULT_WHICH", "moves").env("DISK_FAULT_WAY", way);
        program.env("DISK_FAULT_COUNT", &count);
        end(program)
    };
    assert_eq!(run(0, "killed").code, 0);
    let counted = std::fs::read_to_string(&count).unwrap();
    let moves: u64 = counted.split_whitespace().nth(1).unwrap().parse().unwrap();
    assert_eq!(stands(), want, "undisturbed");
    let mut killed = 0;
    for way in ["killed", "after"] {
        for at in 1..=moves {
            back(place);
            let ended = run(at, way);
            assert!(ended.code <= 0, "{command} {way} {at}: {} {}", ended.out, ended.err);
            assert!(is_whole(place), "{command} killed at {at} ({way}) leaves a mixture: {:#?}", stands());
            killed += usize::from(ended.code < 0);
            let again = at_(place, command);
            assert_eq!(again.code, 0, "{command} after {way} {at}: {} {}", again.out, again.err);
            assert_eq!(stands(), want, "{command} killed at {at} ({way}) and done again");
        }
    }
    killed
}

fn at_(place: &Place, command: &str) -> Ended {
    at(place, &[command, "plan.json"])
}

/// Everything of a place, to come back to.
pub fn kept(place: &Place) -> tempfile::TempDir {
    let folder = tempfile::tempdir().unwrap();
    crate::store_faults::copy(&place.path(""), folder.path());
    folder
}

pub fn restore(place: &Place, folder: &tempfile::TempDir) {
    for entry in std::fs::read_dir(place.path("")).unwrap() {
        let path = entry.unwrap().path();
        if path.is_dir() { std::fs::remove_dir_all(path).unwrap() } else { std::fs::remove_file(path).unwrap() }
    }
    crate::store_faults::copy(folder.path(), &place.path(""));
}

#[test]
fn a_promotion_and_its_rollback_killed_at_every_step_leave_no_mixed_group() {
    let place = stack();
    let blue = stands(&place);
    let made = at(&place, &["--json", "stack", "promote", "green", "-o", "plan.json"]);
    assert_eq!(made.code, 0, "{}", made.err);
    place.json(&["--now", NOW, "approve", "plan.json"]);
    let approved = kept(&place);
    place.json(&["--now", NOW, "apply", "plan.json"]);
    let green = stands(&place);
    let applied = kept(&place);
    restore(&place, &approved);
    let forward =
        killed_everywhere(&place, "apply", &|place| restore(place, &approved), &|| stands(&place), &green, &is_whole);
    restore(&place, &applied);
    let backward =
        killed_everywhere(&place, "rollback", &|place| restore(place, &applied), &|| stands(&place), &blue, &is_whole);
    say(&format!("apply killed at {forward} steps, rollback at {backward}: files as wanted, no mixed group"));
    assert!(forward > 20 && backward > 20);
}
