//! People become hashes and secrets masks, wherever and however they are written.

mod harmless;
mod hostile;
mod rejects;

use super::*;
use serde_json::json;

fn privacy() -> Privacy {
    Privacy::new(b"k")
}

#[test]
fn a_hash_is_the_person_it_stands_for() {
    let hash = privacy().person("ann@acme.test");
    assert_eq!(privacy().person(&hash), hash);
    let mut event = json!({"author": "ann@acme.test", "reviewers": [hash.clone(), "ann@acme.test"]});
    privacy().scrub_value(&mut event);
    assert_eq!(event, json!({"author": hash, "reviewers": [hash, hash]}));
    assert_ne!(privacy().person("u-81"), "u-81");
}

#[test]
fn a_person_is_found_inside_a_dotted_name() {
    let mut object = json!({"vcs.ref.head.revision.author.name": "Ann", "user.id": 7, "enduser.id": "ann",
        "user_agent.original": "curl/8", "service.name": "api"});
    privacy().scrub_object(object.as_object_mut().unwrap());
    for key in ["vcs.ref.head.revision.author.name", "user.id", "enduser.id"] {
        assert!(object[key].as_str().unwrap().starts_with("u-"), "{key}");
    }
    assert_eq!((&object["user_agent.original"], &object["service.name"]), (&json!("curl/8"), &json!("api")));
}

#[test]
fn planted_secrets_do_not_survive() {
    let pem = "-----BEGIN RSA PRIVATE KEY-----\nMIIabc\n-----END RSA PRIVATE KEY-----";
    let github = format!("token ghp_{}", "a1".repeat(18));
    for (text, secret) in [
        ("AWS key AKIAIOSFODNN7EXAMPLE in log", "AKIAIOSFODNN7EXAMPLE"),
        ("login password=hunter2secret ok", "hunter2secret"),
        (r#"{"api_key": "abcd1234"}"#, "abcd1234"),
        ("Authorization: Bearer abc.def-123456", "abc.def-123456"),
        ("git clone https://bob:s3cret@host.example/x", "s3cret"),
        (pem, "MIIabc"),
        (&github, "a1a1a1"),
        ("error in /home/alice/src/main.rs", "alice"),
        (r"C:\Users\alice\src", "alice"),
        ("ping alice.b@example.co.uk now", "alice"),
        ("thanks @alice!", "alice"),
        ("fix\n\nCo-authored-by: Alice Doe <a@b.example>", "Alice"),
        ("Signed-off-by: Alice Doe", "Alice"),
        ("mysql --password hunter2 db", "hunter2"),
        ("curl -u bob:pw4711 https://x.example", "pw4711"),
    ] {
        let clean = privacy().scrub_text(text);
        assert!(!clean.contains(secret), "{clean}");
    }
}

#[test]
fn one_person_has_one_hash_in_field_and_mention() {
    let mut value = json!({"user": {"login": "ann", "id": 7}, "body": "by @ann", "deep": [{"merged_by": "ann"}]});
    privacy().scrub_value(&mut value);
    let hash = privacy().person("ann");
    assert_eq!(value, json!({"user": hash, "body": format!("by @{hash}"), "deep": [{"merged_by": hash}]}));
    assert_ne!(hash, Privacy::new(b"other").person("ann"));
}

#[test]
fn people_are_found_wherever_they_stand() {
    let mut value = json!({"assignees": [{"login": "ann"}, "bob"], "milestone": {"creator": {"login": "ann"}},
        "odd": {"login": "ann", "id": 3}, "ann.b@example.com": 1, "User": "ann",
        "nested": {"password": "bob", "token": [7, "bob"]}});
    privacy().scrub_value(&mut value);
    let text = value.to_string();
    assert!(!text.contains("ann") && !text.contains("bob"), "{text}");
}

/// Found by fuzzing.
#[test]
fn a_profile_hides_nothing() {
    let mut profile = json!({"user_id": "ann", "token": "hunter2", "ann@mail.example": 1, "handle": "x", "os": "macOS",
        "user": "ann", "deep": {"password": "hunter2"}});
    privacy().scrub_profile(profile.as_object_mut().unwrap());
    let text = profile.to_string();
    assert!(!text.contains("ann") && !text.contains("hunter2"), "{text}");
    assert_eq!((&profile["os"], &profile["user_id"]), (&json!("macOS"), &json!(privacy().person("ann"))));
}

/// Found by fuzzing.
#[test]
fn no_name_or_secret_hides_behind_another() {
    for (text, secret) in [
        ("fix\n\nSigned-off-by: Alice Doe", "Doe"),
        ("tool --password --token hunter2", "hunter2"),
        ("curl -H Authorization: Bearer hunter2 x", "hunter2"),
        ("from ann@b.example@c.example", "ann"),
        ("from ann@b.example-@c.example", "ann"),
        ("tool --token Signed-off-by: Ann Doe", "Doe"),
        ("tool --password mysql -phunter2", "hunter2"),
        ("sshpass -p mysql -phunter2", "hunter2"),
        ("mysql -phunter2 x; docker login -p y", "hunter2"),
        ("mysql -phunter2 x docker login -p y", "hunter2"),
        ("mysql x docker login -p hunter2", "hunter2"),
        ("/home/[\0b.c/home/[\0d/home/[\0e/home/[\0f/home/[\0g/home/ann", "ann"),
    ] {
        let clean = privacy().scrub_text(text);
        assert!(!clean.contains(secret), "{clean}");
        assert_eq!(privacy().scrub_text(&clean), clean);
        assert!(!privacy().scrub_reject(text).contains(secret), "{}", privacy().scrub_reject(text));
    }
    let by = |text: &str| privacy().scrub_text(text);
    assert_eq!(by("Signed-off-by: Alice Doe"), format!("Signed-off-by: {}", privacy().person("Alice Doe")));
}

#[test]
fn secrets_and_people_are_found_in_every_dress() {
    let jwt = "Cookie: session=abc123; theme=dark";
    for (text, secret) in [
        ("mail alice%40example.com now", "alice"),
        ("mail jörg.müller@exämple.de now", "müller"),
        ("mail 用户@例子.公司", "用户"),
        ("mail me@xn--bcher-kva.xn--p1ai", "bcher"),
        ("mail alice\\u0040example.com", "alice"),
        ("Alice Doe <a@b.example> wrote", "Doe"),
        ("c:/users/alice/src", "alice"),
        ("C:\\\\Users\\\\alice\\\\src", "alice"),
        ("/mnt/c/users/alice/src", "alice"),
        ("D:\\Documents and Settings\\alice\\x", "alice"),
        ("file:///home/alice/x", "alice"),
        ("see /var/home/alice/x", "alice"),
        ("uri=%2Fhome%2Falice%2Fx", "alice"),
        ("vscode file:///c%3A/Users/alice/x", "alice"),
        ("PATH=/usr/bin:/home/alice/bin", "alice"),
        ("mysql -psecret1 db", "secret1"),
        ("mysqldump -u root -psecret1 db > x", "secret1"),
        ("sshpass -p hunter2 ssh host", "hunter2"),
        ("docker login -u bob -p hunter2 registry", "hunter2"),
        ("redis-cli -h x -a hunter2 ping", "hunter2"),
        ("tool --db-password hunter2", "hunter2"),
        ("[\"--token\", \"hunter2\"]", "hunter2"),
        ("tree 1\nauthor Alice Doe <alice@localhost> 1700000000 +0000\ncommitter Bob Roe <> 1 +0", "Doe"),
        ("tree 1\nauthor A B <a@b.cc> 1700000000 +0000\ncommitter Bob Roe <> 1 +0", "Roe"),
        ("commit 1\nAuthor: Alice Doe <>", "Doe"),
        (jwt, "abc123"),
        ("Set-Cookie: sid=abc123; HttpOnly", "abc123"),
        ("DefaultEndpointsProtocol=https;AccountName=a;AccountKey=Zm9vYmFyYmF6==;x", "Zm9v"),
        ("Endpoint=sb://x/;SharedAccessKey=Zm9vYmFyYmF6", "Zm9v"),
        ("https://a.blob.core.windows.net/c?sv=2020&sig=Zm9vYmFyYmF6cXV1eA%3D%3D&se=1", "Zm9v"),
        ("https://b.s3.amazonaws.com/k?X-Amz-Signature=0123456789abcdef0123&x=1", "0123456789abcdef"),
        ("\"private_key\": \"-----BEGIN PRIVATE KEY-----\\nMIIabc\\n-----END PRIVATE KEY-----\\n\"", "MIIabc"),
        ("machine x.example login alice password hunter2", "hunter2"),
        ("machine x.example login alice password hunter2", "alice"),
        ("Authorization: Basic dXNlcjpwYXNz", "dXNl"),
        ("authorization: token 0123abcd", "0123abcd"),
        (r#"curl -H "Authorization: Digest abcdefgh" x"#, "abcdefgh"),
        (r#"{\"password\":\"x9\"}"#, "x9"),
        (r#"{\\\"password\\\":\\\"x9 y\\\"}"#, "x9"),
        (r#"{'password': 'my long phrase'}"#, "phrase"),
        (r#"password="a \"quoted\" phrase""#, "phrase"),
        ("DB_PASS=hunter2", "hunter2"),
        ("PGPASSWORD=hunter2 psql", "hunter2"),
        ("accessToken: 'hunter2'", "hunter2"),
        (":password => 'hunter2'", "hunter2"),
        ("X-Api-Key: hunter2-abc", "hunter2"),
        ("postgres://u:p@ss@host/db", "ss@"),
        ("redis://:hunter2@host", "hunter2"),
        ("https://u:pw4711@$HOST/x", "pw4711"),
        ("thanks @alice_corp", "corp"),
        ("thanks @jörg!", "rg!"),
        ("fix.\\n\\nSigned-off-by: Alice Doe", "Doe"),
        ("PIN token=482913", "482913"),
    ] {
        let clean = privacy().scrub_text(text);
        assert!(!clean.contains(secret), "{text}\n{clean}");
    }
}

#[test]
fn an_erased_person_is_not_even_a_hash() {
    let hash = privacy().person("ann");
    let privacy = privacy().with_erased(HashSet::from([hash.clone()]));
    let text = format!("thanks @ann, ann@example.com is not, {hash} was; @bob");
    let clean = privacy.scrub_text(&text);
    assert!(clean.starts_with("thanks @[erased]") && clean.contains("[erased] was"), "{clean}");
    assert!(!clean.contains(&hash) && clean.contains(&privacy.person("bob")), "{clean}");
    let mut value = json!({"reviewers": ["ann", "bob"], "note": hash});
    privacy.scrub_value(&mut value);
    assert_eq!(value, json!({"reviewers": [ERASED, privacy.person("bob")], "note": ERASED}));
}

#[test]
fn what_was_scrubbed_is_no_leak_and_what_was_not_is_one() {
    for text in [
        "Signed-off-by: Alice Doe <a@b.example>",
        "thanks @ann, bob@example.com; token=hunter2 in /home/ann/x, https://u:pw@h.example",
        "machine h login ann password hunter2",
        "Authorization: Bearer abc.def-123456",
    ] {
        let stored = json!({"note": privacy().scrub_text(text), "password": MASK}).to_string();
        assert!(is_leak(text) && !is_leak(&stored) && !is_leak(&privacy().scrub_text(text)), "{stored}");
        assert!(is_leak(&json!({"note": [text]}).to_string()));
    }
    assert!(is_leak(r#"{"password":"x"}"#));
    let hash = privacy().person("ann");
    assert_eq!(people_in(&format!("by {hash}, u-12 and {hash}")).collect::<Vec<_>>(), [&hash, &hash]);
}

#[test]
fn what_a_word_announces_is_masked_where_it_looks_made_up() {
    let secret = "Qz7Rt93xLmPw42";
    for text in [
        "gh secret set TOKEN -b SECRET",
        "rclone obscure SECRET",
        "sqlplus scott/SECRET@db",
        "kinit -p SECRET",
        "cqlsh -u a -p SECRET",
        "mc alias set m http://h KEY SECRET",
        "curl 'https://x/?sig=SECRET&se=1'",
        "heroku config:set KEY=SECRET",
        "net use x /user:bob SECRET",
        "restic -p <(echo SECRET)",
        "env:\n- name: DB_PASSWORD\n  value: SECRET\n",
        "h:5432:db:a:SECRET",
    ] {
        let clean = privacy().scrub_text(&text.replace("SECRET", secret));
        assert!(!clean.contains(secret), "{clean}");
    }
    for text in [
        "cargo test -p core testThatTheLoginOf2UsersWorks",
        "docker build -t acme/api:v1.2.3 --build-arg KEY=value .",
        "auth: handle OAuth2Callback in LoginController2Test",
        "src/main.rs:10:5:error:unused",
        "kubectl get secret web-7d9f8b6c5-x2x9z -o yaml",
        "send a1b2c3d4e5f6a7b8c9d0 to the server",
    ] {
        assert_eq!(privacy().scrub_text(text), text);
    }
}

#[test]
fn names_in_what_programs_print_are_hashes() {
    let hash = privacy().person("brunhilde");
    for text in [
        "drwxr-xr-x 2 brunhilde staff 64 Nov 1 x",
        "brunhilde:x:1000:1000:Brunhilde Kowalski:/home/brunhilde:/bin/bash",
        "brunhilde@laptop:~$ ls",
        "[brunhilde@laptop x]$ ls",
        "connected from brunhilde-laptop",
        "see https://github.com/brunhilde",
        "https://brunhilde.github.io/x",
        "gh pr create --assignee brunhilde",
        "jira assignee = brunhilde",
        "Login name: brunhilde",
        "approved by brunhilde",
        "--user=brunhilde",
    ] {
        let clean = privacy().scrub_text(text);
        assert!(!clean.to_lowercase().contains("brunhilde") && clean.contains(&hash), "{clean}");
    }
    for text in
        [r"\\srv\users\brunhilde\x", "/gpfs/users/brunhilde/x", "/run/user/brunhilde", "/afs/x/user/b/br/brunhilde/x"]
    {
        assert!(!privacy().scrub_text(text).contains("brunhilde"), "{text}");
    }
    for text in ["brunhilde.kowalski at corp.example.com", "brunhilde dot kowalski (at) corp dot example dot com"] {
        assert!(privacy().scrub_text(text).starts_with("u-"), "{}", privacy().scrub_text(text));
    }
    for text in [
        "drwxr-xr-x 2 root root 64 Nov 1 x",
        "https://github.com/features and https://github.com/acme/api/pull/1",
        "a dev-laptop, a test-desktop and gaming-desktop",
        "blocked by review, created by running make, triggered by schedule",
        "--user=1000:1000",
        "look at example.com, and version 1.2 at example.com",
    ] {
        assert_eq!(privacy().scrub_text(text), text);
    }
}
