use super::around::Surroundings;
use super::edit::edit_around;
use super::*;
use domain::units::{GIB, MIB};

fn both(cpu: f64, memory: u64) -> State {
    State { cpu_cores: Some(cpu), memory_bytes: Some(memory) }
}

fn cpu(cores: f64) -> State {
    State { cpu_cores: Some(cores), memory_bytes: None }
}

fn memory(bytes: u64) -> State {
    State { cpu_cores: None, memory_bytes: Some(bytes) }
}

/// Edits `web` and expects the text that differs from the old one only by these replacements, each found once.
#[track_caller]
fn becomes(text: &str, state: State, replacements: &[(&str, &str)]) {
    let mut wanted = text.to_owned();
    for (old, new) in replacements {
        assert_eq!(wanted.matches(old).count(), 1, "{old:?} in {text}");
        wanted = wanted.replacen(old, new, 1);
    }
    let found = edit(text, &[("web", state)]).unwrap();
    assert_eq!(found, wanted, "\n--- found\n{found}\n--- wanted\n{wanted}");
    assert_eq!(edit(&found, &[("web", state)]).unwrap(), found, "a second edit changes nothing");
}

#[track_caller]
fn refused(text: &str, state: State, word: &str) {
    match edit(text, &[("web", state)]) {
        Err(StackError::Refused { service, what, hint }) => {
            assert_eq!(service, "web");
            assert!(what.contains(word), "{what}");
            assert!(!hint.is_empty());
        }
        other => panic!("{text}\n{other:?}"),
    }
}

const SHOP: &str = r#"# The shop, as we run it on every developer's machine.
name: shop

x-logging: &logging   # shared
  logging:
    driver: "json-file"
    options: { max-size: "10m" }

services:

  db:
    image: postgres:16   # ask ops before a major
    environment:
      POSTGRES_PASSWORD: 'p#ss: w''rd'
    deploy:
      resources:
        # measured in March
        limits:
          cpus: '2.0'    # of 8
          memory: 4096M
        reservations:
          memory: 1G

  web:
    <<: *logging
    build: .
    command: >-
      serve
        --port 80

    ports: ["80:80"]
    deploy:
      replicas: 2
      resources:
        limits: {cpus: "0.50", memory: 512M}

  # Nobody knows why this is needed.
  worker:
    image: "worker"
"#;

#[test]
fn in_a_real_file_only_the_values_change() {
    let changes = [("web", both(1.25, GIB)), ("db", both(1.0, 2 * GIB)), ("worker", both(0.5, 256 * MIB))];
    let wanted = SHOP
        .replace("{cpus: \"0.50\", memory: 512M}", "{cpus: \"1.25\", memory: 1G}")
        .replace("cpus: '2.0'", "cpus: '1.0'")
        .replace("4096M", "2G")
        + "    deploy:\n      resources:\n        limits:\n          cpus: '0.5'\n          memory: 256M\n";
    assert_eq!(edit(SHOP, &changes).unwrap(), wanted);
    assert_eq!(edit(SHOP, &[]).unwrap(), SHOP);
    assert_eq!(edit(SHOP, &[("web", State::default())]).unwrap(), SHOP);
}

#[test]
fn missing_keys_are_put_in_wherever_the_path_breaks_off() {
    let whole = "\n    deploy:\n      resources:\n        limits:\n          memory: 64M";
    becomes("services:\n  web:\n    image: a", memory(64 * MIB), &[("image: a", &format!("image: a{whole}"))]);
    becomes(
        "services:\n  web:\n    image: a # c\n\n  db: {}\n",
        memory(64 * MIB),
        &[("image: a # c", &format!("image: a # c{whole}"))],
    );
    becomes("services:\n  web:\n\n  db: {}\n", memory(64 * MIB), &[("web:", &format!("web:{whole}"))]);
    becomes("services:\n  web:   # later", memory(64 * MIB), &[("# later", &format!("# later{whole}"))]);
    becomes(
        "services:\n  web:\n    deploy:\n    image: a\n",
        memory(64 * MIB),
        &[("deploy:", &whole["\n    ".len()..])],
    );
    becomes(
        "services:\n  web:\n    deploy:\n      resources:\n        limits: # none yet\n      replicas: 1\n",
        cpu(0.5),
        &[("# none yet", "# none yet\n          cpus: '0.5'")],
    );
    becomes(
        "services:\n  web:\n    deploy:\n      resources:\n        limits:\n          memory: 1G\n    image: a\n",
        cpu(0.5),
        &[("1G", "1G\n          cpus: '0.5'")],
    );
    becomes("services:\n  web:\n    deploy: ~\n", cpu(0.5), &[("~", "{resources: {limits: {cpus: '0.5'}}}")]);
    becomes("services:\n  web: null\n", cpu(0.5), &[("null", "{deploy: {resources: {limits: {cpus: '0.5'}}}}")]);
    becomes("services:\n  web:\n    deploy: {resources: {limits: {cpus: }}}\n", cpu(0.5), &[("cpus:", "cpus: '0.5'")]);
    becomes("services:\n  web:\n    mem_limit: 1g\n    cpus:\n", cpu(0.5), &[("cpus:", "cpus: 0.5")]);
}

#[test]
fn flow_mappings_stay_flow() {
    becomes("services: {web: {image: a}}\n", cpu(2.0), &[("a}", "a, deploy: {resources: {limits: {cpus: '2'}}}}")]);
    becomes("services:\n  web: {}\n", cpu(2.0), &[("{}", "{deploy: {resources: {limits: {cpus: '2'}}}}")]);
    becomes(
        "services:\n  web:\n    deploy: { resources: { limits: { cpus: 1, } } }\n",
        memory(GIB),
        &[("cpus: 1", "cpus: 1, memory: 1G")],
    );
    becomes(
        "services:\n  web: {image: a, deploy: }\n",
        cpu(1.5),
        &[("deploy:", "deploy: {resources: {limits: {cpus: '1.5'}}}")],
    );
    becomes(
        "services: {web: , db: {}}\n",
        cpu(1.5),
        &[("web:", "web: {deploy: {resources: {limits: {cpus: '1.5'}}}}")],
    );
    becomes("services: {web}\n", cpu(1.5), &[("web", "web: {deploy: {resources: {limits: {cpus: '1.5'}}}}")]);
    becomes(
        "services:\n  web: {\n    image: a,  # the last one\n    user: b    # really\n  }\n",
        cpu(1.5),
        &[("user: b", "user: b, deploy: {resources: {limits: {cpus: '1.5'}}}")],
    );
    becomes(
        r#"{"services": {"web": {"image": "a", "deploy": {"resources": {"limits": {"cpus": "1"}}}}, "db": {}}}"#,
        both(2.0, GIB),
        &[(r#""cpus": "1""#, r#""cpus": "2", "memory": "1G""#)],
    );
}

#[test]
fn layout_is_kept_whatever_it_is() {
    let dos = "services:\r\n    \"web\":\r\n        image: a\r\n\r\n    db:\r\n        image: b\r\n";
    becomes(
        dos,
        cpu(0.5),
        &[(
            "image: a",
            "image: a\r\n        deploy:\r\n            resources:\r\n                limits:\r\n                    cpus: '0.5'",
        )],
    );
    let marked = "\u{feff}---\nservices:\n  web:\n    mem_limit: 512m\t# tab\there\n...\n";
    becomes(marked, memory(GIB), &[("512m", "1g")]);
    becomes(
        "# ä€😀\nservices:\n  'web': {cpus: 1, mem_limit: 1GB} # é\n",
        both(2.0, 2 * GIB),
        &[("cpus: 1", "cpus: 2"), ("1GB", "2GB")],
    );
    becomes(
        "services:\n  web:\n    deploy:\n      resources:\n        limits:\n          cpus:   !!str   # odd\n            '1'\n          memory: &m  1G # c\n",
        memory(2 * GIB),
        &[("1G", "2G")],
    );
    becomes(
        "services:\n  web:\n    command: |+\n      run\n\n\n  db: {}\n",
        memory(GIB),
        &[("\n\n\n  db", "\n\n\n    deploy:\n      resources:\n        limits:\n          memory: 1G\n  db")],
    );
    becomes(
        "services:\n  web:\n    command: |\n      run\n\n  db: {}\n",
        memory(GIB),
        &[("run\n", "run\n    deploy:\n      resources:\n        limits:\n          memory: 1G\n")],
    );
    becomes(
        "services:\n web:\n  ports:\n  - 80\n  # - 81\n # next\n db:\n  image: b\n",
        memory(GIB),
        &[("# - 81\n", "# - 81\n  deploy:\n   resources:\n    limits:\n     memory: 1G\n")],
    );
}

#[test]
fn a_block_scalar_at_the_very_end_is_not_given_a_newline() {
    becomes(
        "services:\n  web:\n    image: a\n    command: |\n      run",
        memory(GIB),
        &[("    image: a", "    deploy:\n      resources:\n        limits:\n          memory: 1G\n    image: a")],
    );
}

#[test]
fn files_of_format_2_keep_their_own_keys() {
    becomes(
        "services:\n  web:\n    cpus: 0.5\n    mem_limit: 512m\n",
        both(1.0, GIB),
        &[("0.5", "1.0"), ("512m", "1g")],
    );
    becomes("services:\n  web:\n    mem_limit: 512m\n", cpu(0.25), &[("512m", "512m\n    cpus: 0.25")]);
    becomes("services:\n  web:\n    cpus: 1\n", memory(GIB), &[("cpus: 1", "cpus: 1\n    mem_limit: 1g")]);
    becomes(
        "services:\n  web: {mem_limit: 1g, deploy: {resources: {limits: {memory: 1G}}}}\n",
        memory(2 * GIB),
        &[("1g", "2g"), ("1G", "2G")],
    );
    becomes("services:\n  web: {mem_limit: 0}\n", memory(MIB * 10), &[("mem_limit: 0", "mem_limit: 10485760")]);
}

#[test]
fn a_merged_value_is_overridden_where_it_is_merged() {
    let limits = "x-l: &l {cpus: '1', memory: 1G}\nservices:\n  db: {deploy: {resources: {limits: *l}}}\n";
    becomes(
        &format!("{limits}  web:\n    deploy:\n      resources:\n        limits:\n          <<: *l\n"),
        memory(2 * GIB),
        &[("<<: *l\n", "<<: *l\n          memory: 2G\n")],
    );
    becomes(
        "x-b: &b {mem_limit: 1g}\nservices:\n  web:\n    <<: *b\n",
        memory(2 * GIB),
        &[("<<: *b\n", "<<: *b\n    mem_limit: 2g\n")],
    );
    becomes(
        "x-b: &b {restart: always}\nservices:\n  web: {<<: *b}\n",
        cpu(0.5),
        &[("*b}", "*b, deploy: {resources: {limits: {cpus: '0.5'}}}}")],
    );
}

#[test]
fn what_is_shared_or_comes_from_elsewhere_is_refused() {
    let shared = "x-l: &l {memory: 1G}\nx-d: &d {deploy: {resources: {limits: *l}}}\nservices:\n";
    for (body, word) in [
        ("deploy: {resources: {limits: *l}}", "alias"),
        ("<<: *d", "merge key"),
        ("mem_limit: \"${MEM}\"", "variable"),
        ("mem_limit: !!str 5g", "tag"),
        ("mem_limit: [1]", "single value"),
        ("deploy: 5", "not a mapping"),
        ("extends: {service: base}", "extends"),
        ("extends: {file: a.yml, service: b}", "a.yml"),
    ] {
        refused(&format!("{shared}  base: {{mem_limit: 1g}}\n  web: {{ {body} }}\n"), memory(2 * GIB), word);
    }
    refused("services:\n  web: &w {mem_limit: 1g}\n  db: *w\n", memory(2 * GIB), "services.db");
    refused("services:\n  web: {mem_limit: &m 1g}\n  db: {mem_limit: *m}\n", memory(2 * GIB), "services.db.mem_limit");
    refused("services:\n  web: &w {mem_limit: 1g}\n  db: {<<: *w}\n", memory(2 * GIB), "services.db");
    refused("services:\n  web: {mem_limit: 1g}\n  db: {extends: web}\n", memory(2 * GIB), "services.db");
    refused("services:\n  db: &d {mem_limit: 1g}\n  web: *d\n", memory(2 * GIB), "alias");
    refused("x-s: &s {web: {mem_limit: 1g}}\nservices: *s\n", memory(2 * GIB), "alias");
    refused("services:\n  web:\n    mem_limit: |\n      1g\n", memory(2 * GIB), "no amount");
    refused("services:\n  web:\n    mem_limit: |-\n      1g\n", memory(2 * GIB), "block of text");
    refused("services:\n  web: {cpu_quota: 5000}\n", cpu(1.0), "cpu_quota");
    let unasked = edit("services: {}\n", &[("web", cpu(1.0))]).unwrap_err();
    assert!(unasked.is_refusal() && unasked.to_string().contains("no such service"));
}

#[test]
fn services_that_share_limits_can_be_changed_alike() {
    let text = "services:\n  db: {extends: web}\n  web: &w {mem_limit: 1g}\n  worker: {<<: *w}\n";
    let alike = [("db", memory(2 * GIB)), ("worker", memory(2 * GIB)), ("web", memory(2 * GIB))];
    assert_eq!(edit(text, &alike).unwrap(), text.replace("1g", "2g"));
    let unlike = [("db", memory(2 * GIB)), ("worker", memory(3 * GIB)), ("web", memory(2 * GIB))];
    assert_eq!(edit(text, &unlike).unwrap(), text.replace("1g", "2g").replace("*w}", "*w, mem_limit: 3g}"));
}

#[test]
fn what_docker_would_not_start_is_refused() {
    let reserved = "deploy: {resources: {limits: {memory: 2G, cpus: 2}, reservations: {memory: 1G, cpus: 1}}}";
    let text = format!("services:\n  web: {{ {reserved} }}\n");
    refused(&text, memory(GIB / 2), "reservations.memory");
    refused(&text, cpu(0.5), "reservations.cpus");
    assert!(edit(&text, &[("web", both(1.0, GIB))]).is_ok());
    refused("services:\n  web: {mem_limit: 2g, mem_reservation: 1g}\n", memory(GIB / 2), "mem_reservation");
    assert!(edit("services:\n  web: {mem_limit: 1g, memswap_limit: -1}\n", &[("web", memory(2 * GIB))]).is_ok());
    let unknown = "services:\n  web: {mem_limit: 2g, mem_reservation: '${R}'}\n";
    refused(unknown, memory(GIB), "variable");
    assert!(edit(unknown, &[("web", memory(3 * GIB))]).is_ok());
    refused("services:\n  web:\n", memory(MIB), "less than Docker takes");
    for cores in [0.0, 0.001, -1.0, f64::NAN] {
        refused("services:\n  web:\n", cpu(cores), "less than Docker takes");
    }
}

#[test]
fn a_commented_item_stays_in_its_list() {
    let limits = "    deploy:\n      resources:\n        limits:\n          memory: 1G\n";
    for list in [
        "    ports:\n      - 80\n      # - 443   # later\n",
        "    ports:\n    - 80\n    # - 443\n",
        "    ports:\n      - 80\n\n      # - 443\n",
        "    environment:\n      A: 1\n      # B: 2\n        # deeper\n",
    ] {
        for end in ["  db: {}\n", "\n  # the database\n  db: {}\n", "\nvolumes: {}\n", ""] {
            let text = format!("services:\n  web:\n{list}{end}");
            let wanted = format!("services:\n  web:\n{list}{limits}{end}");
            assert_eq!(edit(&text, &[("web", memory(GIB))]).unwrap(), wanted);
        }
    }
}

#[test]
fn swap_stays_what_it_was_when_memory_is_changed() {
    for (old, wanted, new) in [
        ("mem_limit: 8g, memswap_limit: 8g", GIB, "mem_limit: 1g, memswap_limit: 1g"),
        ("mem_limit: 1g, memswap_limit: 1g", 2 * GIB, "mem_limit: 2g, memswap_limit: 2g"),
        ("memswap_limit: '3g', mem_limit: 2g", GIB, "memswap_limit: '2g', mem_limit: 1g"),
        ("mem_limit: 8g, memswap_limit: -1", GIB, "mem_limit: 1g, memswap_limit: -1"),
        ("mem_limit: 8g, memswap_limit: 0", GIB, "mem_limit: 1g, memswap_limit: 0"),
    ] {
        becomes(&format!("services:\n  web: {{{old}}}\n"), memory(wanted), &[(old, new)]);
    }
    becomes(
        "services:\n  web:\n    deploy: {resources: {limits: {memory: 8G}}}\n    memswap_limit: 8589934592 # none\n",
        memory(GIB),
        &[("8G", "1G"), ("8589934592", "1073741824")],
    );
    for swap in ["'${SWAP}'", "lots", "*s"] {
        let text = format!("x-s: &s 8g\nservices:\n  web: {{mem_limit: 8g, memswap_limit: {swap}}}\n");
        assert!(edit(&text, &[("web", memory(GIB))]).is_err(), "{text}");
        assert!(edit(&text, &[("web", cpu(1.0))]).is_ok(), "the cores have nothing to do with it");
    }
    refused("services:\n  web: {memswap_limit: 8g}\n", memory(GIB), "memswap_limit");
}

#[test]
fn memory_under_deploy_is_text_as_the_specification_wants_it() {
    let odd = 500_000_000;
    let limits =
        |memory: &str| format!("services:\n  web: {{deploy: {{resources: {{limits: {{memory: {memory}}}}}}}}}\n");
    for (old, new) in
        [("8g", "500000000b"), ("\"8g\"", "\"500000000\""), ("8589934592", "500000000b"), ("8b", "500000000b")]
    {
        assert_eq!(edit(&limits(old), &[("web", memory(odd))]).unwrap(), limits(new));
    }
    let inserted = edit("services:\n  web:\n    image: a\n", &[("web", memory(odd))]).unwrap();
    assert!(inserted.ends_with("memory: 500000000b\n"), "{inserted}");
    becomes("services:\n  web: {mem_limit: 8g}\n", memory(odd), &[("8g", "500000000")]);
}

#[test]
fn brackets_and_quotes_at_the_keys_column_are_read() {
    for value in [
        "[\n      \"CMD\", # ]\n      a\n    ]",
        "{\n    a: 1\n    }",
        "\"a\n    b\"",
        "'a\n\n    b # c'",
        "[a\n    , \"]\n    \"\n  ]",
    ] {
        let text = format!("services:\n  web:\n    # é\n    command: {value}\n    mem_limit: 8g\n  db: {{}}\n");
        assert_eq!(edit(&text, &[("web", memory(GIB))]).unwrap(), text.replace("8g", "1g"));
        let text = text.replace("    mem_limit: 8g\n", "");
        let edited = edit(&text, &[("web", memory(GIB))]).unwrap();
        assert_eq!(edited.replace("    deploy:\n      resources:\n        limits:\n          memory: 1G\n", ""), text);
    }
}

#[test]
fn what_cannot_be_set_leaves_the_rest_to_be_set() {
    let text = "services:\n  web: {cpus: '${CPUS:-4}', mem_limit: 8g}\n  db: {mem_limit: &m 2g}\n  worker: {mem_limit: *m, cpus: 1}\n";
    let all = [("web", both(1.0, GIB)), ("db", memory(GIB)), ("worker", both(2.0, 3 * GIB))];
    let (edited, refused) = edit_around(text, &Surroundings::default(), &all).unwrap();
    assert_eq!(edited, text.replace("8g", "1g").replace("cpus: 1}", "cpus: 2}"));
    let named: Vec<_> = refused.iter().map(|(name, figure, _)| (*name, *figure)).collect();
    assert_eq!(named, [("db", Figure::Memory), ("web", Figure::Cpu), ("worker", Figure::Memory)]);
}

#[test]
fn four_hundred_services_are_changed_at_once() {
    let mut text = "services:\n".to_owned();
    let names: Vec<String> = (0..400).map(|i| format!("s{i}")).collect();
    for (i, name) in names.iter().enumerate() {
        text += &match i % 4 {
            0 => format!("  {name}:\n    image: a\n    mem_limit: 1g\n"),
            1 => format!("  {name}: {{image: a}}\n"),
            2 => format!("  {name}:\n    image: a\n    # deploy:\n\n"),
            _ => format!(
                "  {name}:\n    deploy: &d{i}\n      resources: {{limits: {{memory: 1G}}}}\n    x-again: *d{i}\n"
            ),
        };
    }
    let changes: Vec<(&str, State)> = names.iter().map(|name| (name.as_str(), both(0.5, 2 * GIB))).collect();
    let start = std::time::Instant::now();
    let (edited, refused) = edit_around(&text, &Surroundings::default(), &changes).unwrap();
    assert_eq!(refused.len(), 200, "those with a second name for their limits");
    assert_eq!(read_tests::alone(&edited).states.values().filter(|state| **state == both(0.5, 2 * GIB)).count(), 300);
    assert!(start.elapsed().as_secs() < 20, "{:?}", start.elapsed());
}
