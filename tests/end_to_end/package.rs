//! What people install: the Debian package is built from the program of the tests, installed with `dpkg` into an overlay of this
//! machine, of which nothing remains, used, and purged; the archive for `cargo binstall` is where its metadata say.

use crate::program::{checkout, end, say};
use std::path::{Path, PathBuf};
use std::process::Command;

/// What happens on the machine: install, look, run a night as the user, upgrade, remove, purge.
const INSTALLED: &str = r#"
set -eux
export DEBIAN_FRONTEND=noninteractive PATH=/usr/sbin:/usr/bin:/sbin:/bin
dpkg --install /tmp/pipeline.deb
pipeline --version
pipeline completions bash | cmp - /usr/share/bash-completion/completions/pipeline
test -s /usr/share/zsh/vendor-completions/_pipeline
test -s /usr/share/fish/vendor_completions.d/pipeline.fish
for page in pipeline pipeline-record pipeline-collect-docker pipeline-plan-show; do
    gzip -dc /usr/share/man/man1/$page.1.gz | grep -q '^\.TH'
done
test "$(getent passwd pipeline | cut -d: -f6)" = /var/lib/pipeline
test "$(stat -c '%U:%G %a' /var/lib/pipeline)" = 'pipeline:pipeline 750'
test "$(stat -c '%U:%G %a' /etc/pipeline/environment)" = 'root:pipeline 640'
systemd-analyze verify --man=no /lib/systemd/system/pipeline-*
# The night as its unit runs it, without systemd: the same user, folder and command.
night() {
    cd /var/lib/pipeline
    setpriv --reuid pipeline --regid pipeline --clear-groups env -i PATH=$PATH HOME=/var/lib/pipeline \
        $(sed -n 's/^ExecStart=//p' /lib/systemd/system/pipeline-nightly.service)
    cd /
}
echo "{\"ts\":\"$(date -u +%FT%TZ)\",\"type\":\"annotation\",\"payload\":{\"note\":\"installed\"}}" > /var/lib/pipeline/dumps/first.ndjson
night
test -s /var/lib/pipeline/report.html
test "$(stat -c '%U %a' /var/lib/pipeline/.config/pipeline/pseudonym.key)" = 'pipeline 600'
# What an administrator changed is still there after the package came again.
sed -i 's/^#PIPELINE_PLAN=.*/PIPELINE_PLAN=mine.json/' /etc/pipeline/environment
dpkg --install /tmp/pipeline.deb
grep -qx PIPELINE_PLAN=mine.json /etc/pipeline/environment
night
dpkg --remove pipeline
test ! -e /usr/bin/pipeline
test -e /etc/pipeline/environment
dpkg --purge pipeline
test ! -e /etc/pipeline
test -e /var/lib/pipeline/lake/lake.json
"#;

/// `cargo-deb`, as the environment names it, or from the search path.
fn cargo_deb() -> Option<PathBuf> {
    let named = std::env::var_os("CARGO_DEB").map(PathBuf::from);
    let path = std::env::var_os("PATH").unwrap_or_default();
    named.or_else(|| std::env::split_paths(&path).map(|folder| folder.join("cargo-deb")).find(|file| file.is_file()))
}

/// A mount namespace with an overlay of the whole machine, in memory, in which a script runs as root.
fn in_overlay(package: &Path, script: &str) -> Command {
    let mut command = Command::new("unshare");
    let within = "set -e; mount -t tmpfs -o size=3g tmpfs \"$1\"; cd \"$1\"; mkdir upper work root\n\
        mount -t overlay overlay -o lowerdir=/,upperdir=upper,workdir=work root\n\
        cp \"$2\" root/tmp/pipeline.deb; mount -t proc proc root/proc; mount --bind /dev root/dev\n\
        exec chroot root sh -c \"$3\"";
    let place = package.parent().unwrap().join("overlay");
    std::fs::create_dir_all(&place).unwrap();
    command.args(["--mount", "--pid", "--fork", "sh", "-c", within, "sh"]).arg(place).arg(package).arg(script);
    command
}

#[test]
fn the_package_installs_runs_a_night_and_goes_without_the_lake() {
    let Some(cargo_deb) = cargo_deb() else {
        return say("NOT TESTED: the Debian package. It takes `cargo install cargo-deb --locked`.");
    };
    let folder = tempfile::tempdir().unwrap();
    let mut package = Command::new(checkout().join(".ci/package"));
    package.arg(env!("CARGO_BIN_EXE_pipeline")).arg(folder.path()).arg("--fast").env("CARGO_DEB", cargo_deb);
    let ended = end(package);
    assert_eq!(ended.code, 0, "{}{}", ended.out, ended.err);
    let made: Vec<PathBuf> = std::fs::read_dir(folder.path()).unwrap().map(|entry| entry.unwrap().path()).collect();
    let with = |ending: &str| made.iter().find(|path| path.to_string_lossy().ends_with(ending)).unwrap().clone();

    // The archive has the program where [package.metadata.binstall] looks for it.
    let archive = with(".tar.gz");
    let name = archive.file_name().unwrap().to_str().unwrap().trim_end_matches(".tar.gz");
    let manifest: toml::Value =
        toml::from_str(&std::fs::read_to_string(checkout().join("pipeline/cli/Cargo.toml")).unwrap()).unwrap();
    let binstall = &manifest["package"]["metadata"]["binstall"];
    let target = name.strip_prefix(&format!("pipeline-{}-", env!("CARGO_PKG_VERSION"))).unwrap();
    let filled = |key: &str| {
        let text = binstall[key].as_str().unwrap().replace("{ version }", env!("CARGO_PKG_VERSION"));
        text.replace("{ target }", target).replace("{ bin }", "pipeline").replace("{ binary-ext }", "")
    };
    assert!(filled("pkg-url").ends_with(&format!("/{name}.tar.gz")), "{}", filled("pkg-url"));
    let mut list = Command::new("tar");
    list.arg("-tzf").arg(&archive);
    let listed = end(list).out;
    assert!(listed.lines().any(|line| line == filled("bin-dir")), "{listed}");

    let package = with(".deb");
    let can = end(in_overlay(&package, "true"));
    if can.code != 0 {
        return say(&format!("NOT TESTED: installing the package. It takes root and an overlay: {}", can.err));
    }
    let is_here = || ["/etc/pipeline", "/var/lib/pipeline", "/usr/bin/pipeline"].map(|path| Path::new(path).exists());
    let before = is_here();
    let ended = end(in_overlay(&package, INSTALLED));
    assert_eq!(ended.code, 0, "{}{}", ended.out, ended.err);
    assert_eq!(is_here(), before, "the machine itself is as it was");
}
