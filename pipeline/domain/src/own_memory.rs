//! The memory a service is itself configured to use: heap, cache and buffer sizes in its command line and environment.
//!
//! A limit below such a size kills the service on the day it uses what it was told it may. Owns which settings there
//! are, how each writes its sizes, and how much more than the setting the process needs. Reads no file: the caller
//! brings the words and variables of a service. The rule that no plan goes below it is in `plan/hold.rs`.

use crate::units::{GIB, MIB, format_bytes};
use std::collections::BTreeMap;

/// The words a service is started with, and its variables.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Setup {
    /// Its image, empty where it is built.
    pub image: String,
    /// Entry point and command, in words.
    pub words: Vec<String>,
    /// Its environment.
    pub variables: BTreeMap<String, String>,
}

/// One setting that bounds what a service takes.
#[derive(Clone, Debug, PartialEq)]
pub struct OwnMemory {
    /// As it is written: `-Xmx4g`.
    pub setting: String,
    /// What it allows.
    pub size: Size,
    /// What the whole process needs for each byte of it.
    factor: f64,
}

/// How large a setting lets a service become.
#[derive(Clone, Debug, PartialEq)]
pub enum Size {
    /// So many bytes, whatever the limit.
    Bytes(u64),
    /// This share of the limit: the heap shrinks with it. 0 to 1.
    OfLimit(f64),
    /// It cannot be told: the value depends on a variable that the file does not give.
    Unknown,
}

/// Threads, metaspace, code, connections and fragmentation beside a heap or cache: a quarter more.
const BESIDE: f64 = 1.25;
/// "Set Xms and Xmx to no more than 50% of the total memory" (Elasticsearch, heap size settings): the rest holds the index.
const SEARCH_ENGINE: f64 = 2.0;
/// The heap of a JVM that is told nothing: `MaxRAMPercentage` is 25 (java, Advanced Runtime Options).
const JVM_DEFAULT_SHARE: f64 = 0.25;
/// Elasticsearch sizes its heap by itself, at half of the memory.
const SEARCH_ENGINE_SHARE: f64 = 0.5;
/// `System.GC.HeapHardLimit` in a container with a limit: 75 % of it (.NET, runtime configuration options for GC).
const DOTNET_SHARE: f64 = 0.75;
/// Images whose main process is a JVM.
const JVM_IMAGES: [&str; 8] = [
    "openjdk",
    "eclipse-temurin",
    "amazoncorretto",
    "ibm-semeru-runtimes",
    "sapmachine",
    "zulu-openjdk",
    "tomcat",
    "jetty",
];

impl OwnMemory {
    fn new(setting: impl Into<String>, size: Option<u64>, factor: f64) -> Self {
        Self { setting: setting.into(), size: size.map_or(Size::Unknown, Size::Bytes), factor }
    }

    /// The limit below which a setting of a fixed size can no longer be honoured, bytes.
    pub fn needs(&self) -> Option<u64> {
        match self.size {
            Size::Bytes(bytes) => Some((bytes as f64 * self.factor) as u64),
            Size::OfLimit(_) | Size::Unknown => None,
        }
    }

    /// The least limit under which a service that was seen at `peak` bytes keeps its memory: all of the peak may be heap.
    pub fn least(&self, peak: u64) -> Option<u64> {
        match self.size {
            Size::OfLimit(share) if share > 0.0 => Some((peak as f64 / share) as u64),
            _ => self.needs(),
        }
    }

    /// The setting that would fit `peak` bytes, in words.
    pub fn fitting(&self, peak: u64) -> String {
        match self.size {
            Size::OfLimit(_) => "set a fixed size, or raise the percentage".to_owned(),
            _ => format!("lower it to {}", format_bytes(peak as f64)),
        }
    }
}

/// The settings of a service that bound its memory, in the order in which they are found.
pub fn settings(setup: &Setup) -> Vec<OwnMemory> {
    let mut found = Vec::new();
    let words: Vec<&str> = setup.words.iter().flat_map(|word| split(word)).collect();
    flags(&words, BESIDE, &mut found);
    // `env NAME=VALUE program`, and a shell's `NAME=VALUE program`.
    let assigned = words.iter().filter_map(|word| word.split_once('=')).filter(|(name, _)| is_variable(name));
    let given = setup.variables.iter().map(|(name, value)| (name.as_str(), value.as_str()));
    for (name, value) in given.chain(assigned) {
        let engine = name.starts_with("ES_JAVA") || name.starts_with("OPENSEARCH_JAVA");
        flags(&split(value).collect::<Vec<_>>(), if engine { SEARCH_ENGINE } else { BESIDE }, &mut found);
        if let Some(size) = variable(name, value) {
            found.push(size);
        }
    }
    found.extend(short_flag(setup, &words, "memcached", "-m", MIB));
    found.extend(short_flag(setup, &words, "postgres", "-B", 8192));
    found.extend(short_flag(setup, &words, "java", "-mx", 1));
    let sized = found.iter().any(|own| {
        own.setting.starts_with("-X") || own.setting.starts_with("-mx") || own.setting.contains("HeapHardLimit")
    });
    if let Some((who, share)) = unsized_heap(setup, &words).filter(|_| !sized) {
        let setting = format!("{who} default heap of {:.0} % of the limit", share * 100.0);
        found.push(OwnMemory { setting, size: Size::OfLimit(share), factor: BESIDE });
    }
    let mut once: Vec<OwnMemory> = Vec::new();
    for own in found {
        if own.size != Size::Bytes(0) && !once.contains(&own) {
            once.push(own);
        }
    }
    once
}

/// Words, with quotes taken off.
fn split(text: &str) -> impl Iterator<Item = &str> {
    text.split(|c: char| c.is_whitespace() || matches!(c, '"' | '\'' | ';')).filter(|word| !word.is_empty())
}

/// Whether a word before a `=` is the name of a variable as programs have them, and no flag.
fn is_variable(name: &str) -> bool {
    let is_part = |c: char| c.is_ascii_uppercase() || c.is_ascii_digit() || c == '_';
    name.starts_with(|c: char| c.is_ascii_uppercase()) && name.chars().all(is_part)
}

/// Settings given as flags, wherever they stand.
fn flags(words: &[&str], factor: f64, found: &mut Vec<OwnMemory>) {
    let words: Vec<&str> = words.iter().map(|word| word.strip_prefix("--v8-flags=").unwrap_or(word)).collect();
    let before = found.len();
    let mut initial = Vec::new();
    for (i, word) in words.iter().enumerate() {
        // PostgreSQL's `-c name=value` and `-cname=value`, and an option with its value as the next word.
        let bare = word.strip_prefix("-c").filter(|rest| rest.contains('=')).unwrap_or(word);
        let (name, value) = match bare.split_once('=') {
            Some((name, value)) => (name, Some(value)),
            None => (bare, words.get(i + 1).copied()),
        };
        let key = name.trim_start_matches('-').replace('_', "-").to_ascii_lowercase();
        let key = key.strip_prefix("loose-").unwrap_or(&key).to_owned();
        let joined = || if bare.contains('=') { (*word).to_owned() } else { format!("{word} {}", value.unwrap_or("")) };
        let mut add =
            |setting: String, size: Option<u64>, factor: f64| found.push(OwnMemory::new(setting, size, factor));
        if let Some(size) = word.strip_prefix("-Xmx").filter(|size| !size.is_empty()) {
            add((*word).to_owned(), read(size, Unit::Binary(1)), factor);
            continue;
        }
        if let Some(size) = word.strip_prefix("-Xms").filter(|size| !size.is_empty()) {
            initial.push(OwnMemory::new((*word).to_owned(), read(size, Unit::Binary(1)), factor));
            continue;
        }
        let Some(value) = value else { continue };
        match key.as_str() {
            "xx:initialheapsize" => initial.push(OwnMemory::new(joined(), read(value, Unit::Binary(1)), factor)),
            "xx:maxheapsize" | "xx:maxram" | "xx:maxdirectmemorysize" => {
                add(joined(), read(value, Unit::Binary(1)), factor)
            }
            "xx:maxrampercentage" => {
                let percent = plain(value).and_then(|text| text.parse::<f64>().ok());
                found.push(OwnMemory { setting: (*word).to_owned(), size: of_limit(percent, 100.0), factor });
            }
            "max-old-space-size" if name.starts_with("--") => add(joined(), read(value, Unit::Binary(MIB)), BESIDE),
            "maxmemory" if name.starts_with("--") => add(joined(), read(value, Unit::Redis), BESIDE),
            "shared-buffers" => add(joined(), read(value, Unit::Binary(8192)), BESIDE),
            "innodb-buffer-pool-size" | "key-buffer-size" => add(joined(), read(value, Unit::Binary(1)), BESIDE),
            "wiredtigercachesizepct" => {
                let percent = plain(value).and_then(|text| text.parse::<f64>().ok());
                found.push(OwnMemory { setting: joined(), size: of_limit(percent, 100.0), factor: BESIDE });
            }
            // CockroachDB: bytes, a share (.25) or per cent (25%) of the memory.
            "cache" | "max-sql-memory"
                if words.iter().any(|word| word.ends_with("cockroach") || *word == "start-single-node") =>
            {
                found.push(OwnMemory { setting: joined(), size: share_or_bytes(value), factor: BESIDE })
            }
            "max-server-memory-usage-to-ram-ratio" => {
                found.push(OwnMemory { setting: joined(), size: share_or_bytes(value), factor: 1.0 })
            }
            "wiredtigercachesizegb" => add(joined(), read(value, Unit::Binary(GIB)), BESIDE),
            // memcached's `-m` by its long name.
            "memory-limit" if name.starts_with("--") => add(joined(), read(value, Unit::Binary(MIB)), BESIDE),
            "memory.allowedbytes" | "max-server-memory-usage" => add(joined(), read(value, Unit::Binary(1)), BESIDE),
            _ => {}
        }
    }
    // A heap grows from its initial size to its greatest, and where that is not given, at least to the first.
    if found.len() == before {
        found.append(&mut initial);
    }
}

/// Settings that are variables of their own.
fn variable(name: &str, value: &str) -> Option<OwnMemory> {
    let upper = name.to_ascii_uppercase();
    let told = |size, factor| Some(OwnMemory { setting: format!("{name}={value}"), size, factor });
    let unit = match upper.as_str() {
        // Hexadecimal, like all numbers of .NET's variables.
        "DOTNET_GCHEAPHARDLIMITPERCENT" | "COMPLUS_GCHEAPHARDLIMITPERCENT" => {
            return told(of_limit(read(value, Unit::Hex).map(|percent| percent as f64), 100.0), BESIDE);
        }
        "JAVA_MAX_MEM_RATIO" if !value.trim().is_empty() => {
            return told(of_limit(plain(value).and_then(|text| text.trim().parse().ok()), 100.0), BESIDE);
        }
        // RabbitMQ stops taking messages there: a share of the memory, or bytes.
        "RABBITMQ_VM_MEMORY_HIGH_WATERMARK" if !value.trim().is_empty() => {
            return told(share_or_bytes(value), BESIDE);
        }
        "GOMEMLIMIT" => Unit::Binary(1),
        "DOTNET_GCHEAPHARDLIMIT" | "COMPLUS_GCHEAPHARDLIMIT" => Unit::Hex,
        "MAX_HEAP_SIZE" | "HEAP_SIZE" | "JAVA_HEAP_SIZE" | "VARNISH_SIZE" | "XMX" | "JAVA_MAX_HEAP" => Unit::Binary(1),
        "JVM_MAXIMUM_MEMORY" | "SPARK_WORKER_MEMORY" | "SPARK_DRIVER_MEMORY" | "SPARK_EXECUTOR_MEMORY" => {
            Unit::Binary(1)
        }
        "NEO4J_SERVER_MEMORY_HEAP_MAX__SIZE" | "NEO4J_DBMS_MEMORY_HEAP_MAX__SIZE" => Unit::Binary(1),
        "NEO4J_SERVER_MEMORY_PAGECACHE_SIZE" | "NEO4J_DBMS_MEMORY_PAGECACHE_SIZE" => Unit::Binary(1),
        "REDIS_MAXMEMORY" | "VALKEY_MAXMEMORY" => Unit::Redis,
        "MEMCACHED_CACHE_SIZE" | "MSSQL_MEMORY_LIMIT_MB" | "ZK_SERVER_HEAP" => Unit::Binary(MIB),
        "HADOOP_HEAPSIZE" | "HADOOP_HEAPSIZE_MAX" => Unit::Binary(MIB),
        "SOLR_HEAP" | "PHP_MEMORY_LIMIT" => Unit::Binary(1),
        "MEILI_MAX_INDEXING_MEMORY" => Unit::Binary(1),
        _ if upper.ends_with("_XMX") => Unit::Binary(1),
        _ if upper.ends_with("SHARED_BUFFERS") => Unit::Binary(8192),
        _ if upper.ends_with("INNODB_BUFFER_POOL_SIZE") => Unit::Binary(1),
        _ => return None,
    };
    if value.trim().is_empty() || value.trim() == "off" {
        return None;
    }
    Some(OwnMemory::new(format!("{name}={value}"), read(value, unit), BESIDE))
}

/// A share of the limit, written as so many of `whole`.
fn of_limit(part: Option<f64>, whole: f64) -> Size {
    part.map_or(Size::Unknown, |part| Size::OfLimit((part / whole).clamp(0.01, 1.0)))
}

/// A share (`0.4`, `.25`, `25%`), or bytes with a unit or without.
fn share_or_bytes(value: &str) -> Size {
    let Some(text) = plain(value) else { return Size::Unknown };
    let text = text.trim();
    if let Some(percent) = text.strip_suffix('%') {
        return of_limit(percent.trim().parse().ok(), 100.0);
    }
    match text.parse::<f64>() {
        Ok(share) if share <= 1.0 => of_limit(Some(share), 1.0),
        _ => read(text, Unit::Binary(1)).map_or(Size::Unknown, Size::Bytes),
    }
}

/// A short flag of one program, as `memcached -m 1024` or `-m1024`: of others it means something else.
fn short_flag(setup: &Setup, words: &[&str], program: &str, flag: &str, unit: u64) -> Option<OwnMemory> {
    let is_run = words.iter().any(|word| word.rsplit('/').next() == Some(program));
    if !is_run && repository(&setup.image) != program {
        return None;
    }
    let digit = |rest: &str| rest.starts_with(|c: char| c.is_ascii_digit());
    let (at, rest) = words.iter().enumerate().find_map(|(at, word)| {
        word.strip_prefix(flag).filter(|rest| rest.is_empty() || digit(rest)).map(|rest| (at, rest))
    })?;
    let value = if rest.is_empty() { words.get(at + 1)? } else { rest };
    Some(OwnMemory::new(format!("{flag} {value}"), read(value, Unit::Binary(unit)), BESIDE))
}

/// Whose heap is a share of the limit unless it is told a size, and which.
fn unsized_heap(setup: &Setup, words: &[&str]) -> Option<(&'static str, f64)> {
    let image = repository(&setup.image);
    let options = ["JAVA_OPTS", "JAVA_TOOL_OPTIONS", "JDK_JAVA_OPTIONS"];
    if image == "elasticsearch" {
        Some(("Elasticsearch's", SEARCH_ENGINE_SHARE))
    } else if setup.image.contains("dotnet/") {
        Some((".NET's", DOTNET_SHARE))
    } else if JVM_IMAGES.contains(&image)
        || words.iter().take(3).any(|word| *word == "java" || word.ends_with("/java"))
        || options.iter().any(|name| setup.variables.contains_key(*name))
    {
        Some(("the JVM's", JVM_DEFAULT_SHARE))
    } else {
        None
    }
}

/// The last part of an image's name, without tag and digest.
fn repository(image: &str) -> &str {
    let name = image.rsplit('/').next().unwrap_or(image);
    name.split([':', '@']).next().unwrap_or(name)
}

/// How a number without, or with, a suffix is meant.
#[derive(Clone, Copy)]
enum Unit {
    /// K, M, G and T are powers of 1024; a bare number counts so many bytes.
    Binary(u64),
    /// Redis: `k`, `m`, `g` are powers of 1000, `kb`, `mb`, `gb` of 1024.
    Redis,
    /// Hexadecimal bytes, `0x` before them or not.
    Hex,
}

/// A value whose variables have defaults, with these; none where one has no default.
fn plain(value: &str) -> Option<String> {
    let mut text = String::new();
    let mut rest = value;
    while let Some((before, after)) = rest.split_once("${") {
        let (inside, behind) = after.split_once('}')?;
        let (_, default) = inside.split_once('-')?;
        text.push_str(before);
        text.push_str(default);
        rest = behind;
    }
    text.push_str(rest);
    (!text.contains('$')).then_some(text)
}

fn read(value: &str, unit: Unit) -> Option<u64> {
    let value = plain(value)?;
    let value = value.trim();
    if matches!(unit, Unit::Hex) {
        return u64::from_str_radix(value.trim_start_matches("0x").trim_start_matches("0X"), 16).ok();
    }
    let digits = value.find(|c: char| !c.is_ascii_digit() && c != '.').unwrap_or(value.len());
    let amount: f64 = value[..digits].parse().ok()?;
    let suffix = value[digits..].trim().to_ascii_lowercase();
    let power = |letter: &str| ["k", "m", "g", "t"].iter().position(|known| *known == letter).map(|at| at as i32 + 1);
    let factor = match unit {
        Unit::Binary(bare) if suffix.is_empty() => bare as f64,
        Unit::Redis if power(&suffix).is_some() => 1000_f64.powi(power(&suffix)?),
        _ if suffix.is_empty() || suffix == "b" => 1.0,
        _ => {
            let letter = suffix.trim_end_matches('b').trim_end_matches('i');
            1024_f64.powi(power(letter)?)
        }
    };
    let bytes = amount * factor;
    (bytes.is_finite() && bytes >= 0.0 && bytes < u64::MAX as f64).then_some(bytes as u64)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn of(image: &str, command: &str, variables: &[(&str, &str)]) -> Vec<(String, Size)> {
        let setup = Setup {
            image: image.into(),
            words: command.split(' ').filter(|word| !word.is_empty()).map(str::to_owned).collect(),
            variables: variables.iter().map(|(name, value)| ((*name).to_owned(), (*value).to_owned())).collect(),
        };
        settings(&setup).into_iter().map(|own| (own.setting, own.size)).collect()
    }

    fn bytes(image: &str, command: &str, variables: &[(&str, &str)]) -> Vec<u64> {
        let size = |(setting, size): (String, Size)| match size {
            Size::Bytes(bytes) => bytes,
            other => panic!("{setting}: {other:?}"),
        };
        of(image, command, variables).into_iter().map(size).collect()
    }

    #[test]
    fn every_runtime_and_database_is_read_in_its_own_units() {
        assert_eq!(bytes("a", "java -Xmx4g -jar app.jar", &[]), [4 * GIB]);
        assert_eq!(bytes("a", "java -Xms1g -XX:MaxHeapSize=512m -jar a.jar", &[]), [512 * MIB]);
        assert_eq!(bytes("a", "", &[("JAVA_OPTS", "-Xms1g -Xmx4096M")]), [4 * GIB]);
        assert_eq!(bytes("a", "node --max-old-space-size=3072 a.js", &[]), [3 * GIB]);
        assert_eq!(bytes("a", "", &[("NODE_OPTIONS", "--max_old_space_size=2048")]), [2 * GIB]);
        assert_eq!(bytes("redis:7", "redis-server --save  --maxmemory 3gb", &[]), [3 * GIB]);
        assert_eq!(bytes("redis:7", "redis-server --maxmemory 100m", &[]), [100_000_000]);
        assert_eq!(bytes("postgres", "postgres -c shared_buffers=1GB -c max_connections=200", &[]), [GIB]);
        assert_eq!(bytes("postgres", "postgres -c shared_buffers=131072", &[]), [GIB]);
        assert_eq!(bytes("mysql", "--innodb-buffer-pool-size=2G", &[]), [2 * GIB]);
        assert_eq!(bytes("mysql", "mysqld --innodb_buffer_pool_size 2147483648", &[]), [2 * GIB]);
        assert_eq!(bytes("a", "", &[("GOMEMLIMIT", "2750MiB")]), [2750 * MIB]);
        assert_eq!(bytes("a", "", &[("DOTNET_GCHeapHardLimit", "0x40000000")]), [GIB]);
        assert_eq!(bytes("memcached:1", "memcached -m 1024", &[]), [GIB]);
        assert_eq!(bytes("mongo", "mongod --wiredTigerCacheSizeGB 1.5", &[]), [3 * GIB / 2]);
        assert_eq!(bytes("a", "sh -c \"exec java -Xmx2g -jar x.jar\"", &[]), [2 * GIB]);
        for command in [
            "java -Xms3g -jar a.jar",
            "java -XX:InitialHeapSize=3g -jar a.jar",
            "java -mx3g -jar a.jar",
            "sh -c \"NODE_OPTIONS=--max-old-space-size=3072 npm start\"",
            "deno run --v8-flags=--max-old-space-size=3072 a.ts",
            "env GOMEMLIMIT=3GiB ./app",
            "memcached -m3072",
            "memcached --memory-limit=3072",
            "postgres -B 393216",
            "mysqld --loose-innodb-buffer-pool-size=3G",
            "mysqld --key-buffer-size=3G",
            "victoria-metrics -memory.allowedBytes=3GiB",
        ] {
            assert_eq!(bytes("a", command, &[]), [3 * GIB], "{command}");
        }
        for (name, value) in [
            ("SOLR_HEAP", "3g"),
            ("MSSQL_MEMORY_LIMIT_MB", "3072"),
            ("HADOOP_HEAPSIZE", "3072"),
            ("ZK_SERVER_HEAP", "3072"),
            ("PHP_MEMORY_LIMIT", "3G"),
            ("JVM_MAXIMUM_MEMORY", "3072m"),
            ("SPARK_WORKER_MEMORY", "3g"),
            ("XMX", "3g"),
            ("KEYCLOAK_XMX", "3g"),
            ("RABBITMQ_VM_MEMORY_HIGH_WATERMARK", "3GiB"),
        ] {
            assert_eq!(bytes("a", "", &[(name, value)]), [3 * GIB], "{name}");
        }
    }

    #[test]
    fn a_share_of_the_limit_and_the_default_of_a_jvm_shrink_with_it() {
        let told = of("a", "java -XX:MaxRAMPercentage=75.0 -jar a.jar", &[]);
        assert_eq!(told[0].1, Size::OfLimit(0.75));
        let own = |image: &str, command: &str| of(image, command, &[])[0].1.clone();
        assert_eq!(own("eclipse-temurin:21", ""), Size::OfLimit(0.25));
        assert_eq!(own("x", "java -jar a.jar"), Size::OfLimit(0.25));
        assert_eq!(own("elasticsearch:9.1.0", ""), Size::OfLimit(0.5));
        assert_eq!(own("mcr.microsoft.com/dotnet/aspnet:9.0", ""), Size::OfLimit(0.75));
        let shares = |command: &str, variables: &[(&str, &str)]| of("a", command, variables)[0].1.clone();
        assert_eq!(shares("", &[("DOTNET_GCHeapHardLimitPercent", "0x32")]), Size::OfLimit(0.5));
        assert_eq!(shares("", &[("JAVA_MAX_MEM_RATIO", "80")]), Size::OfLimit(0.8));
        assert_eq!(shares("", &[("RABBITMQ_VM_MEMORY_HIGH_WATERMARK", "0.4")]), Size::OfLimit(0.4));
        assert_eq!(shares("clickhouse-server -- --max_server_memory_usage_to_ram_ratio=0.9", &[]), Size::OfLimit(0.9));
        assert_eq!(shares("mongod --wiredTigerCacheSizePct 30", &[]), Size::OfLimit(0.3));
        assert_eq!(shares("cockroach start --cache=.25", &[]), Size::OfLimit(0.25));
        assert_eq!(shares("cockroach start --max-sql-memory=25%", &[]), Size::OfLimit(0.25));
        assert_eq!(shares("cockroach start --cache=2GiB", &[]), Size::Bytes(2 * GIB));
        assert!(of("a", "npm ci --cache .npm", &[]).is_empty());
        let setup = Setup { image: "openjdk:21".into(), ..Setup::default() };
        assert_eq!(settings(&setup)[0].least(GIB), Some(4 * GIB));
    }

    #[test]
    fn a_search_engine_needs_twice_its_heap_and_anything_else_a_quarter_more() {
        let variables = |name: &str| BTreeMap::from([(name.to_owned(), "-Xmx1g".to_owned())]);
        let needs = |name: &str| settings(&Setup { variables: variables(name), ..Setup::default() })[0].needs();
        assert_eq!((needs("ES_JAVA_OPTS"), needs("KAFKA_HEAP_OPTS")), (Some(2 * GIB), Some(5 * GIB / 4)));
    }

    #[test]
    fn a_variable_counts_by_its_default_and_is_unknown_without_one() {
        assert_eq!(bytes("a", "java -Xmx${HEAP:-2g} -jar a.jar", &[]), [2 * GIB]);
        assert_eq!(of("a", "java -Xmx$HEAP -jar a.jar", &[]), [("-Xmx$HEAP".to_owned(), Size::Unknown)]);
    }

    #[test]
    fn what_sets_no_size_is_nothing() {
        assert!(of("redis:7", "redis-server --maxmemory 0 --maxmemory-policy allkeys-lru", &[]).is_empty());
        assert!(of("a", "", &[("GOMEMLIMIT", "off"), ("MAXMEMORY", "no"), ("URL", "http://x/?a=-c")]).is_empty());
        assert!(of("nginx", "nginx -g daemon off", &[]).is_empty());
    }
}
