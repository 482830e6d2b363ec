use super::*;
use crate::versions::Kind;
use domain::rollout::{Metric, OnInconclusive};
use proptest::prelude::*;

const EXAMPLE: &str = r#"[[component]]
name = "api"
kind = "application"
version = "1.4.2"
digest = "sha256:aaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaa"
requires = { orders = "^8", payments = "^2.1" }
config = { WORKERS = "4" }
health = "http://127.0.0.1:18081/healthz"
target = "compose:compose.yaml#api"
rollback = "previous"

[[component]]
name = "orders"
kind = "application"
version = "8.1.0"
target = "compose:compose.yaml#orders"

[[component]]
name = "payments"
kind = "contract"
version = "2.3.0"

[[component]]
name = "edge"
kind = "load_balancer"
version = "3.0.0"

[[group]]
name = "green"
members = { api = "1.4.2", orders = "8.1.0", edge = "3.0.0" }

[route]
target = "haproxy-map:routes.map"
socket = "haproxy.sock"
steps = [1, 10, 26, 50, 100]
unit = "x-user"

[judge]
metrics = ["latency", "latency_tail", "errors"]
margin = "20%"
alpha = 0.05
horizon = 400
on_inconclusive = "hold"
"#;

#[test]
fn the_example_is_read_and_what_is_required_is_deployed_first() {
    let manifest = Manifest::parse(EXAMPLE).unwrap();
    let members = manifest.members("green").unwrap();
    let names: Vec<&str> = members.iter().map(|it| it.name.as_str()).collect();
    assert_eq!(names, ["orders", "api", "edge"]);
    assert_eq!(members[2].kind, Kind::LoadBalancer);
    assert_eq!(manifest.members("blue"), None);
    let judge = manifest.judge.unwrap();
    assert_eq!((judge.margin, judge.on_inconclusive), (0.2, OnInconclusive::Hold));
    assert_eq!(judge.metrics, [Metric::Latency, Metric::LatencyTail, Metric::Errors]);
    assert_eq!(manifest.route.unwrap().steps, [1, 10, 26, 50, 100]);
}

#[test]
fn what_is_wrong_is_told_with_its_line() {
    for (old, new, line, what) in [
        ("rollback = \"previous\"", "rollback = \"hope\"", 10, "unknown variant `hope`"),
        ("health = ", "helth = ", 8, "unknown field `helth`"),
        ("\"1.4.2\"\ndigest", "\"1.4\"\ndigest", 4, "\"1.4\": unexpected end of input"),
        ("\"^8\"", "\"eight\"", 6, "orders = \"eight\""),
        ("\"^8\"", "\"^9\"", 6, "api 1.4.2 requires orders ^9, which is 8.1.0"),
        ("orders = \"^8\"", "order = \"^8\"", 6, "api 1.4.2 requires order ^8, which is not there"),
        (
            "version = \"8.1.0\"",
            "version = \"8.1.0\"\nrequires = { api = \"1\" }",
            6,
            "a circle: api 1.4.2 requires orders",
        ),
        ("name = \"orders\"\n", "name = \"../orders\"\n", 13, "is no name"),
        ("sha256:aa", "sha1:aa", 5, "64 hex digits"),
        ("http://127", "ftp://127", 8, "is not http://"),
        ("http://127", "https://127", 8, "name the address behind what ends TLS"),
        ("compose:compose.yaml#api", "exec:./migrate", 9, "an application is carried by compose:FILE#SERVICE"),
        ("target = \"compose:compose.yaml#api\"", "target = compose:api", 9, ""),
        ("api = \"1.4.2\", ", "api = \"1.4.3\", ", 30, "the group green has api 1.4.3, declared is 1.4.2"),
        ("orders = \"8.1.0\", ", "", 30, "in the group green: api 1.4.2 requires orders ^8, which is not there"),
        (
            "\"edge\"\nkind = \"load_balancer\"",
            "\"orders\"\nkind = \"application\"",
            26,
            "orders 8.1.0 is declared twice",
        ),
        ("steps = [1, ", "steps = [10, ", 35, "route.steps"),
        ("alpha = 0.05", "alpha = 0.9", 41, "judge.alpha"),
        ("margin = \"20%\"", "margin = \"a fifth\"", 40, "\"a fifth\" is no share"),
        ("\"errors\"]", "\"errors\", \"errors\"]", 39, "each once"),
    ] {
        let mut text = EXAMPLE.replacen(old, new, 1);
        assert_ne!(text, EXAMPLE, "{old}");
        if what.contains("twice") {
            text = text.replacen("\"3.0.0\"", "\"8.1.0\"", 1);
        }
        let mistake = Manifest::parse(&text).unwrap_err();
        assert!(mistake.what.contains(what), "{what}: {mistake}");
        assert_eq!(mistake.line, line, "{mistake}");
    }
}

proptest! {
    #[test]
    fn no_text_brings_it_down(cut in 0..EXAMPLE.len(), put in "[\\x20-\\x7e\n]{0,12}") {
        let text = format!("{}{put}{}", &EXAMPLE[..cut], &EXAMPLE[cut..]);
        if let Err(mistake) = Manifest::parse(&text) {
            prop_assert!(mistake.line >= 1 && mistake.line <= text.matches('\n').count() + 1);
        }
    }
}
