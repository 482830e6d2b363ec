//! Which workload a pod belongs to, for dumps that do not say: Kubernetes writes it into the pod's name.
//!
//! The letters are those of Kubernetes itself (`apimachinery/pkg/util/rand`): no vowels and none of `0 1 3 l`-like
//! digits, so that a name that a person gave is seldom taken for a generated one.

/// What a generated ending of five letters is made of.
const SUFFIX: &[u8] = b"bcdfghjklmnpqrstvwxz2456789";

/// What a pod template hash is made of: a decimal number through the same table, which leaves ten letters.
const HASH: &[u8] = b"456789bcdf";

/// The resource of a container: `namespace/workload/container`, without what is not known.
pub(super) fn resource(namespace: Option<&str>, workload: &str, container: Option<&str>) -> String {
    namespace.into_iter().chain([workload]).chain(container).collect::<Vec<_>>().join("/")
}

/// The workload of a pod, by the pod's name: a Deployment's, DaemonSet's, Job's, CronJob's or StatefulSet's pod
/// without what was appended to it, any other pod itself.
pub(super) fn of_pod(pod: &str) -> &str {
    let Some((owner, ending)) = split(pod) else { return pod };
    if ending.len() == 5 && made_of(ending, SUFFIX) {
        return of_replica_set(owner);
    }
    // A StatefulSet numbers its pods from 0.
    if ending.len() <= 4 && digits(ending) { owner } else { pod }
}

/// The Deployment of a ReplicaSet, or the CronJob of a Job, by its name; otherwise the name as it is.
pub(super) fn of_replica_set(name: &str) -> &str {
    match split(name) {
        Some((owner, hash)) if (6..=10).contains(&hash.len()) && made_of(hash, HASH) => owner,
        // A CronJob's Job ends in the minutes since 1970.
        Some((owner, minutes)) if minutes.len() == 8 && digits(minutes) => owner,
        _ => name,
    }
}

fn split(name: &str) -> Option<(&str, &str)> {
    name.rsplit_once('-').filter(|(owner, ending)| !owner.is_empty() && !ending.is_empty())
}

fn made_of(text: &str, letters: &[u8]) -> bool {
    text.bytes().all(|byte| letters.contains(&byte))
}

fn digits(text: &str) -> bool {
    text.bytes().all(|byte| byte.is_ascii_digit())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_pods_name_gives_its_workload() {
        for (pod, workload) in [
            ("coredns-66bff467f8-x7zkq", "coredns"),
            ("my-web-5d4d5c9b8f-2lkqz", "my-web"),
            ("node-exporter-x7zkq", "node-exporter"),
            ("postgres-0", "postgres"),
            ("nightly-28493760-b2wfx", "nightly"),
            ("my-nginx", "my-nginx"),
            ("runner", "runner"),
            ("-", "-"),
            ("", ""),
            ("größe-5d4d5c9b8f-2lkqz", "größe"),
        ] {
            assert_eq!(of_pod(pod), workload, "{pod}");
        }
        assert_eq!(resource(Some("dev"), of_pod("web-5d4d5c9b8f-2lkqz"), Some("app")), "dev/web/app");
    }
}
