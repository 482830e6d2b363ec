use super::*;
use domain::task::Release;

const TEXT: &str = "name: shop
x-common: &common
  image: acme/base:1
services:
  api:   # the door
    image: acme/api:1.4.1
    environment:
      WORKERS: 2
      MODE: 'fast'
  orders:
    image: \"acme/orders:8.0.0\"
    environment: [TZ=UTC]
  child:
    extends: {service: api}
    command: work
  shared:
    <<: *common
  listed:
    image: acme/listed:1
    environment: &env
      - TZ=${ZONE}
      - SHELL
  alias:
    image: acme/alias:1
    environment: *env
";

#[test]
fn variables_in_a_list_are_set_in_its_own_layout() {
    let text = "name: shop
services:
  api:
    image: acme/api:1
    environment:
      # how many
      - WORKERS=2   # two
      - 'MODE=fast'
    ports: [80]
  flow:
    image: acme/flow:1
    environment: [A=1]
  none:
    image: acme/none:1
    environment: []
";
    let (_folder, compose) = file(text);
    let set = |resource: &str, config: &[(&str, &str)]| {
        let wanted = release("", config);
        let new = compose.released(text, resource, &wanted).unwrap();
        let names: Vec<&str> = config.iter().map(|(name, _)| *name).collect();
        assert_eq!(compose.release_of(&new, resource, &names).unwrap().config, wanted.config);
        assert_eq!(compose.released(&new, resource, &wanted).unwrap(), new);
        new
    };
    let by_hand = text
        .replace("- WORKERS=2 ", "- WORKERS=4 ")
        .replace("'MODE=fast'\n", "'MODE=slow'\n      - LEVEL=on\n      - \"WORDS=a b\"\n");
    let config = [("WORKERS", "4"), ("MODE", "slow"), ("LEVEL", "on"), ("WORDS", "a b")];
    assert_eq!(set("shop/api", &config), by_hand);
    assert_eq!(set("shop/flow", &[("A", "2"), ("B", "3")]), text.replace("[A=1]", "[A=2, B=3]"));
    assert_eq!(set("shop/none", &[("B", "3")]), text.replace("[]", "[B=3]"));
}

fn release(image: &str, config: &[(&str, &str)]) -> Release {
    let config = config.iter().map(|(name, value)| ((*name).to_owned(), (*value).to_owned())).collect();
    Release { image: Some(image.to_owned()).filter(|image| !image.is_empty()), config, ..Release::default() }
}

fn file(text: &str) -> (tempfile::TempDir, ComposeFile) {
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("compose.yaml");
    std::fs::write(&path, text).unwrap();
    (folder, ComposeFile::new(path))
}

#[test]
fn an_image_and_variables_are_set_and_every_other_byte_stays() {
    let alone = TEXT.replace("  child:\n    extends: {service: api}\n    command: work\n", "");
    let (_folder, compose) = file(&alone);
    let wanted = release("acme/api:1.4.2@sha256:ab", &[("WORKERS", "4"), ("LEVEL", "on")]);
    let new = compose.released(&alone, "shop/api", &wanted).unwrap();
    let by_hand = alone
        .replace("acme/api:1.4.1", "acme/api:1.4.2@sha256:ab")
        .replace("WORKERS: 2", "WORKERS: \"4\"")
        .replace("MODE: 'fast'\n", "MODE: 'fast'\n      LEVEL: \"on\"\n");
    assert_eq!(new, by_hand);
    assert_eq!(compose.release_of(&new, "shop/api", &["WORKERS", "LEVEL", "NONE"]).unwrap(), wanted);
    assert_eq!(compose.released(&new, "shop/api", &wanted).unwrap(), new);
    let quoted = compose.released(&alone, "shop/orders", &release("acme/orders:8.1.0", &[])).unwrap();
    assert_eq!(quoted, alone.replace("\"acme/orders:8.0.0\"", "\"acme/orders:8.1.0\""));
    // A service's own image stands over the one that it is merged from.
    let own = compose.released(&alone, "shop/shared", &release("acme/base:2", &[])).unwrap();
    assert_eq!(own, alone.replace("    <<: *common\n", "    <<: *common\n    image: acme/base:2\n"));
}

#[test]
fn what_would_change_another_service_or_cannot_be_written_is_refused() {
    let (_folder, compose) = file(TEXT);
    for (resource, wanted, why) in [
        ("shop/api", release("acme/api:2", &[]), "shop/child has part of it"),
        ("shop/listed", release("", &[("TZ", "CET")]), "comes from a variable"),
        ("shop/listed", release("", &[("SHELL", "sh")]), "comes from a variable"),
        ("shop/alias", release("", &[("TZ", "CET")]), "alias"),
        ("shop/orders", release("acme/orders:${V}", &[]), "without escapes"),
        ("shop/nobody", release("x:1", &[]), "has no resource shop/nobody"),
    ] {
        let error = compose.released(TEXT, resource, &wanted).unwrap_err();
        assert!(error.to_string().contains(why), "{why}: {error}");
    }
    assert!(compose.release_of(TEXT, "shop/nobody", &[]).is_err());
}
