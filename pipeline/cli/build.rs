//! How the program is linked.

fn main() {
    println!("cargo:rerun-if-changed=build.rs");
    let of_target = |what: &str| std::env::var(format!("CARGO_CFG_TARGET_{what}")).unwrap_or_default();
    // 300,000 addresses in this program are relocated at each start if it can be loaded anywhere: 4 ms and 12 MiB that
    // `record` would add to every command. At a fixed address there are none.
    if of_target("OS") == "linux" && of_target("ENV") == "gnu" {
        println!("cargo:rustc-link-arg-bins=-no-pie");
    }
}
