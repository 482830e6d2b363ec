//! Tasks beside limits on a running Engine: weights, restarts, starts and stops, each with its inverse.

use super::{Engine, NOW, act, done, place, shop};
use std::path::Path;

#[test]
fn weights_restarts_starts_and_stops_are_steps_with_inverses() {
    let Some(engine) = Engine::start() else { return };
    shop(&engine);
    let project = "com.docker.compose.project=shop";
    for service in ["warm", "idle", "swarm"] {
        let label = format!("com.docker.compose.service={service}");
        let mut options = vec!["--label", project, "--label", &label, "--stop-timeout", "0"];
        if service == "swarm" {
            options.extend(["--label", "com.docker.swarm.service.id=x"]);
        }
        engine.run(&format!("shop-{service}-1"), &options, "while :; do sleep 1; done");
    }
    assert!(engine.docker(&["stop", "shop-idle-1"]).0);
    let place = place(&["shop/web", "shop/db"]);
    place.write(
        "rules.toml",
        "[[override]]\nresource = \"shop/*\"\nfreeze = true\n\n\
         [[task]]\nresource = \"shop/web\"\ncpu_weight = 2048\n\n\
         [[task]]\nresource = \"shop/db\"\nrestart = true\nreason = \"it leaks\"\n\n\
         [[task]]\nresource = \"shop/warm\"\nrunning = false\n\n\
         [[task]]\nresource = \"shop/idle\"\nrunning = true\n\n\
         [[task]]\nresource = \"shop/swarm\"\nrestart = true\n\n\
         [[task]]\nresource = \"shop/nobody\"\nrestart = true\n",
    );
    let target = format!("docker:{}", engine.address());
    let made = || {
        let plan = ["--now", NOW, "plan", "-o", "plan.json", "--target", &target, "--override", "rules.toml"];
        let plan = place.json(&plan);
        place.json(&["--now", NOW, "approve", "plan.json"]);
        plan
    };
    let state = || {
        let form = "{{.State.Running}} {{.HostConfig.CpuShares}} {{.State.StartedAt}}";
        let names = ["shop-web-1", "shop-web-2", "shop-db-1", "shop-warm-1", "shop-idle-1"];
        names.map(|name| {
            let said = engine.docker(&["inspect", name, "--format", form]).1;
            let mut words = said.split(' ').map(str::to_owned);
            (words.next().unwrap() == "true", words.next().unwrap(), words.next().unwrap())
        })
    };
    let before = state();
    let plan = made();
    let items = plan["items"].as_array().unwrap();
    let of = |resource: &str| items.iter().find(|it| it["resource"] == resource && !it["task"].is_null()).unwrap();
    for (resource, action) in
        [("shop/web", "prioritize"), ("shop/db", "restart"), ("shop/warm", "deprovision"), ("shop/idle", "provision")]
    {
        assert_eq!(of(resource)["action"], action, "{}", of(resource));
    }
    assert_eq!(of("shop/web")["task"]["before"]["cpu"], 1024);
    assert!(of("shop/db")["reason"].as_str().unwrap().contains("it leaks"), "{}", of("shop/db"));
    let refused = of("shop/swarm");
    assert!(
        refused["action"] == "none" && refused["reason"].as_str().unwrap().contains("a Swarm service"),
        "{refused}"
    );
    let check = plan["checks"].as_array().unwrap().iter().find(|check| check["name"] == "tasks_match").unwrap();
    assert!(check["detail"].as_str().unwrap().contains("shop/nobody finds nothing to do"), "{check}");

    let applied = done(&act(&place, "apply", &[]));
    let steps: Vec<&str> =
        applied["steps"].as_array().unwrap().iter().map(|it| it["resource"].as_str().unwrap()).collect();
    assert_eq!(steps, ["shop/idle", "shop/web", "shop/web", "shop/db", "shop/warm"], "what is needed comes first");
    let after = state();
    assert!(after[..2].iter().all(|it| it.1 == "2048"), "{after:?}");
    assert!(after[2].0 && after[2].2 != before[2].2, "started again: {after:?}");
    assert_eq!((after[3].0, after[4].0), (false, true));
    assert!(kernel_shares(&engine, "shop-web-1").is_none_or(|shares| shares == "2048"));
    assert_eq!(done(&act(&place, "apply", &[]))["result"], "already applied");
    done(&act(&place, "rollback", &[]));
    let back = state();
    assert!(back[..2].iter().all(|it| it.1 == "1024"), "what nothing else says: {back:?}");
    assert!(kernel_shares(&engine, "shop-web-1").is_none_or(|shares| shares == "1024"));
    assert_eq!((back[3].0, back[4].0), (true, false));

    // One that fails takes the others back.
    made();
    let ended = act(&place, "apply", &["--health", "test \"$PIPELINE_RESOURCES\" != shop/db"]);
    assert!(ended.code == 1 && ended.err.contains("was taken back"), "{}", ended.err);
    let back = state();
    assert!(back[..2].iter().all(|it| it.1 == "1024"), "{back:?}");
    assert_eq!((back[2].0, back[3].0, back[4].0), (true, true, false));
}

/// What the kernel has of a container's CPU weight, in version 1.
fn kernel_shares(engine: &Engine, name: &str) -> Option<String> {
    let (_, id) = engine.docker(&["inspect", name, "--format", "{{.Id}}"]);
    let folder = ["cpu", "cpu,cpuacct"].map(|it| Path::new("/sys/fs/cgroup").join(it).join("docker").join(&id));
    let text = folder.iter().find_map(|dir| std::fs::read_to_string(dir.join("cpu.shares")).ok())?;
    Some(text.trim().to_owned())
}
