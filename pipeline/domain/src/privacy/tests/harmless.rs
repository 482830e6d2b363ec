//! Texts without people and secrets stay as they are, and cost little.
#![allow(clippy::print_stderr)] // measurements

use super::*;

#[test]
fn what_only_looks_like_a_person_stays() {
    for text in ["@@ -23,7 +23,10 @@ fn main()", "npm i @babel/core", "image@sha256:abcd", "a@b", "cost: 3 cores"] {
        assert_eq!(privacy().scrub_text(text), text);
    }
}

#[test]
fn harmless_texts_stay_as_they_are() {
    for text in HARMLESS {
        assert_eq!(privacy().scrub(text), *text);
    }
    for text in &HARMLESS[..FAST] {
        assert_eq!(filter::rules_for(text.as_bytes()), 0, "{text}");
    }
}

/// How many of the harmless texts must not even reach a rule.
const FAST: usize = 22;

const HARMLESS: &[&str] = &[
    "@@ -23,7 +23,10 @@ fn main() {\n+    let x = \"y\";\n",
    "cargo test -p core",
    "FAILED test_api.py::test_login - AssertionError",
    "src/mod1/file2.rs",
    "fix: handle empty input case",
    "3f786850e387550fdab836ed7e6dc881de23001b",
    "acme/api#123",
    "fix/login",
    "password_reset.py",
    "token count: 3",
    "1.2.3-beta.4+build.5",
    "sha256:9f86d081884c7d659a2feaa0c55ad015a3bf4f1b2b0b822cd15d6c15b0f00a08",
    "docker run --rm -it image:1.2 sh",
    "GET /users/123 HTTP/1.1",
    "src/users/mod.rs",
    "for key in map.keys() { println!(\"{key}\") }",
    "the secret of the broken monkey tokens",
    "task-runner and disk-usage",
    "make -j8 CFLAGS=-O2",
    "pytest -q tests/unit",
    "kubectl get pods -n default",
    "if (a < b && c > d) { return x => y; }",
    "image@sha256:abcd",
    "@babel/core",
    "npm i react@18.2.0-beta.rc",
    "src/home/index.html",
    "https://shop.example/home/index.html",
    "https://x.example/users/42/edit",
    "icon@2x.png",
    "git clone git@github.com:acme/api.git",
    "getty@tty1.service",
    "+@pytest.fixture\n+def x():",
    "    @app.route(\"/x\")",
    "@Override\npublic int x()",
    "max_tokens: 4096, total_tokens=1200",
    "token_count: 300",
    "let token = parse_token(input);",
    "password = get_password()",
    "token = os.environ[\"TOKEN\"]",
    "fn login(password: String, token: Option<u8>)",
    "this.token = config.token;",
    "password: ${{ secrets.DB_PASSWORD }}",
    "secrets: inherit",
    "private_key_path: /etc/ssl/key.pem",
    "if token == null",
    "secretName: web-tls",
    "basic authentication and bearer certificates",
    "docker run -u 1000:1000 image",
    "the author of this change",
    "sig=inspect.signature(f)",
    "a@b",
    "`@alice` in code",
    "key: value",
    "killed by signal: SIGTERM",
    "ssh user@host ls",
    "signature: fn(u8) -> u8",
    "login page: password field",
    "export const token: string",
    "feat(auth): authorize by role",
    "cookie banner: hide",
    "npm_config_cache",
];

/// `cargo test --release -p domain -- --ignored scrubbing --nocapture` prints what a clean event costs.
#[test]
#[ignore = "a measurement"]
fn scrubbing_a_clean_event_is_cheap() {
    let texts = [
        HARMLESS[0],
        "acme/api",
        "fix/login",
        "acme/api#123",
        "acme-api-dev",
        "acme-api-dev/web",
        "src/mod1/file2.rs",
        "cargo test -p core",
        "fix: handle empty input case",
        "3f786850e387550fdab836ed7e6dc881de23001b",
    ];
    let line = json!(texts).to_string();
    let privacy = privacy();
    let start = std::time::Instant::now();
    let n = 1_000_000;
    let owned =
        (0..n).map(|_| texts.iter().filter(|t| matches!(privacy.scrub(t), Cow::Owned(_))).count()).sum::<usize>();
    let texts_took = start.elapsed() / n;
    let (start, mut sum) = (std::time::Instant::now(), 0u64);
    for _ in 0..n {
        sum +=
            std::hint::black_box(line.as_bytes()).iter().map(|b| u64::from(*b)).fold(0u64, |a, b| a.rotate_left(1) ^ b);
    }
    eprintln!("a rotate and xor of each byte of it {:?} {}", start.elapsed() / n, sum & 1);
    eprintln!("ten texts {texts_took:?}, together {} bytes", line.len());
    let start = std::time::Instant::now();
    let keys = ["ts", "type", "repo", "branch", "pr", "env", "resource", "session", "payload", "command", "exit_code"];
    let n = 1_000_000u32;
    let known =
        (0..n).map(|_| keys.iter().filter(|k| is_person_field(std::hint::black_box(k)) || is_secret_field(k)).count());
    let known = known.sum::<usize>();
    eprintln!("eleven keys {:?}", start.elapsed() / n);
    assert_eq!((owned, known), (0, 0));
}
