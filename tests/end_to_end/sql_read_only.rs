//! No statement changes the lake or reaches beside it.

use crate::program::{Place, checkout};
use std::io::Write;
use std::process::Stdio;

fn place() -> Place {
    let place = Place::new();
    place.ingest(&[&checkout().join("tests/sql/marts/runs/given").display().to_string()]);
    place.json(&["materialize"]);
    place.write("secret.csv", "a\n1\n");
    place
}

/// Every kind of statement that SQL engines know and that does anything but read.
const ATTACKS: &[&str] = &[
    "insert into marts.runs select * from marts.runs",
    "insert overwrite marts.runs select * from marts.runs",
    "replace into marts.runs select * from marts.runs",
    "with x as (select 1) insert into marts.runs select * from x",
    "update marts.runs set repo = 'x'",
    "delete from marts.runs",
    "truncate table marts.runs",
    "merge into marts.runs a using marts.runs b on a.run_id = b.run_id when matched then delete",
    "copy marts.runs to 'stolen.csv'",
    "copy (select 1) to 'stolen.parquet' stored as parquet",
    "copy marts.runs from 'secret.csv'",
    "create table marts.x as select 1",
    "create table marts.x (a int)",
    "create or replace table marts.runs as select 1",
    "select 1 as a into marts.x",
    "create view marts.x as select 1",
    "create external table x stored as csv location 'secret.csv'",
    "create external table x stored as parquet location 'lake/marts/runs/'",
    "create schema x",
    "create database x",
    "create function f() returns int return 1",
    "create index i on marts.runs (repo)",
    "create role x",
    "create sequence s",
    "create type t as (a int)",
    "create trigger t after insert on marts.runs execute function f()",
    "create policy p on marts.runs",
    "create server s foreign data wrapper w",
    "drop table marts.runs",
    "drop view features.runs",
    "drop schema marts cascade",
    "drop function abs",
    "alter table marts.runs add column x int",
    "alter table marts.runs rename to y",
    "alter view features.runs as select 1",
    "alter role x with superuser",
    "rename table marts.runs to marts.x",
    "set datafusion.catalog.default_schema = 'x'",
    "set datafusion.runtime.memory_limit = '100G'",
    "set time zone 'UTC'",
    "reset datafusion.runtime.memory_limit",
    "prepare p as select 1",
    "execute p",
    "deallocate p",
    "begin",
    "start transaction",
    "commit",
    "rollback",
    "savepoint s",
    "release savepoint s",
    "use marts",
    "grant select on marts.runs to x",
    "revoke select on marts.runs from x",
    "deny select on marts.runs to x",
    "analyze table marts.runs compute statistics",
    "vacuum marts.runs",
    "optimize table marts.runs",
    "cache table x as select 1",
    "uncache table x",
    "msck repair table marts.runs",
    "load data inpath 'secret.csv' into table marts.runs",
    "load 'x.so'",
    "install httpfs",
    "attach 'secret.db' as s",
    "attach database 'secret.db' as s",
    "detach s",
    "pragma table_info(x)",
    "call f()",
    "declare c cursor for select 1",
    "fetch next from c",
    "close c",
    "kill 1",
    "lock tables marts.runs write",
    "unlock tables",
    "listen x",
    "notify x",
    "unload ('select 1') to 'stolen'",
    "comment on table marts.runs is 'x'",
    "assert 1 = 1",
    "discard all",
    "flush tables",
    "explain insert into marts.runs select * from marts.runs",
    "explain analyze copy marts.runs to 'stolen.csv'",
    "explain analyze create table marts.x as select 1",
    "explain explain analyze drop table marts.runs",
    "if 1 = 1 then drop table marts.runs; end if",
    "do $$ drop table marts.runs $$",
    "print 'x'",
    "export data options(uri='x') as select 1",
    // Files by name, by function, by address.
    "select * from 'secret.csv'",
    "select * from \"secret.csv\"",
    "select * from './secret.csv'",
    "select * from 'file:///etc/passwd'",
    "select * from 's3://bucket/x.parquet'",
    "select * from read_csv('secret.csv')",
    "select * from read_parquet('lake/marts/runs/*.parquet')",
    "select * from csv_scan('secret.csv')",
    "select * from parquet_metadata('x.parquet')",
    "select pg_read_file('/etc/passwd')",
    "select load_extension('x')",
    "table 'secret.csv'",
    "describe 'secret.csv'",
    "select (select count(*) from 'secret.csv')",
    "with x as (select * from 'secret.csv') select * from x",
];

#[test]
fn every_kind_of_statement_that_does_more_than_read_is_refused() {
    let place = place();
    let before = place.lake_files();
    let statement = |place: &Place, flags: &[&str], text: &str| place.run(&[&["sql", text], flags].concat());
    for attack in ATTACKS {
        let ended = statement(&place, &[], attack);
        assert!([1, 2].contains(&ended.code), "{attack}: {}{}", ended.out, ended.err);
        assert_eq!(ended.out, "", "{attack}");
        assert!(ended.err.starts_with("error: "), "{attack}: {}", ended.err);
        for word in ["panicked", "Create", "DDL", "DataFusion", "backtrace", "Some(", "bug"] {
            assert!(!ended.err.contains(word), "{attack}: {}", ended.err);
        }
    }
    // Also one after the other in a pipe, behind a query that is allowed, and where files may be read.
    let worst =
        |attack: &str| ["insert", "copy", "create", "drop", "explain"].iter().any(|word| attack.starts_with(word));
    for attack in ATTACKS.iter().filter(|attack| worst(attack)) {
        let mut piped = place.command(&["sql", "--allow-files"]);
        let mut child = piped.stdin(Stdio::piped()).stdout(Stdio::piped()).stderr(Stdio::piped()).spawn().unwrap();
        child.stdin.take().unwrap().write_all(format!("select 1;\n{attack};").as_bytes()).unwrap();
        let ended = child.wait_with_output().unwrap();
        assert_ne!(ended.status.code(), Some(0), "{attack}: {}", String::from_utf8_lossy(&ended.stderr));
    }
    assert_eq!(before, place.lake_files(), "the lake is as it was");
    assert!(
        !std::fs::read_dir(place.path("")).unwrap().any(|f| f
            .unwrap()
            .file_name()
            .to_string_lossy()
            .starts_with("stolen"))
    );
}

#[test]
fn what_only_reads_is_allowed() {
    let place = place();
    for query in [
        "select 1",
        "values (1), (2)",
        "with x as (select 1 as a) select * from x union all select 2",
        "explain select 1",
        "explain analyze select count(*) from marts.runs",
        "show tables",
        "describe marts.runs",
        "show columns from marts.runs",
        "show functions",
        "select * from information_schema.tables",
        "select count(*) from (select distinct repo from marts.runs) a cross join unnest([1, 2])",
    ] {
        let ended = place.run(&["sql", query]);
        assert_eq!(ended.code, 0, "{query}: {}", ended.err);
    }
}

#[test]
fn local_files_are_read_where_it_is_allowed_and_join_the_lake() {
    let place = place();
    place.write("names.csv", "repo,team\nacme/api,platform\nacme/web,\"web, mobile\"\n");
    place.write("names.ndjson", "{\"repo\":\"acme/api\",\"size\":3}\n{\"repo\":\"acme/web\"}\n");
    assert_eq!(place.run(&["sql", "select 1 as a, 'x' as b", "-o", "one.parquet"]).code, 0);
    let rows = |query: &str| place.json(&["sql", "--allow-files", query])["rows"].clone();
    assert_eq!(rows("select count(*) as n from 'names.csv'")[0]["n"], 2);
    assert_eq!(rows("select team from './names.csv' order by team desc")[0]["team"], "web, mobile");
    assert_eq!(rows("select sum(size) as n from 'names.ndjson'")[0]["n"], 3);
    assert_eq!(rows("select b from 'one.parquet'")[0]["b"], "x");
    assert!(rows("select count(*) as n from marts.runs r join 'names.csv' f on r.repo = f.repo")[0]["n"].is_u64());
    for (query, says) in [
        ("select * from 'none.csv'", "there is no file none.csv"),
        ("select * from '/etc/passwd'", "is no parquet"),
        ("select * from 'https://example.org/x.csv'", "is no local file"),
    ] {
        let ended = place.run(&["sql", "--allow-files", query]);
        assert_eq!(ended.code, 1, "{query}");
        assert!(ended.err.contains(says), "{query}: {}", ended.err);
    }
    let ended = place.run(&["sql", "select * from 'names.csv'"]);
    assert!(ended.err.contains("--allow-files"), "{}", ended.err);
}

#[test]
fn a_query_that_would_take_all_memory_is_stopped_with_words() {
    let place = place();
    for query in [
        "select repeat('x', 2000000000000)",
        "select lpad('x', 2000000000)",
        "select array_repeat(1, 10000000000)",
        "select length(generate_series(1, 1000000000000))",
        "select length(array_agg(value)) from generate_series(1, 100000000)",
        "select length(string_agg(value || 'aaaaaaaaaaaaaaaaaa', ',')) from generate_series(1, 100000000)",
    ] {
        let ended = place.run(&["sql", "--memory", "64MiB", query]);
        assert_eq!(ended.code, 1, "{query}: {}{}", ended.out, ended.err);
        assert!(ended.err.contains("more memory") || ended.err.contains("at once"), "{query}: {}", ended.err);
    }
    // What can be spilled is: a sort of more than fits.
    let ended = place.run(&[
        "sql",
        "--memory",
        "32MiB",
        "--format",
        "csv",
        "select value, repeat('x', 40) as x from generate_series(1, 1000000) order by value * 7919 % 1000003",
    ]);
    assert_eq!(ended.code, 0, "{}", ended.err);
    assert_eq!(ended.out.lines().count(), 1_000_001);
}
