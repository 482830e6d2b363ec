"""The tables of `sql/` made by DuckDB: the same selects, in its dialect, from the same Parquet files into zstd Parquet by day.

    python3 duckdb_tables.py LAKE OUT          prints the rows of each table

What differs is words: JSON functions and conversions of times. `file_role` and `event_rank`, which are functions of the
program, stand for the simplest thing that DuckDB can do in their place.
"""
import json
import pathlib
import re
import sys

import duckdb

SQL = pathlib.Path(__file__).resolve().parents[2] / "sql"
TABLES = ("traces.branches", "traces.links", "traces.events", "traces.traces", "marts.run_reports", "marts.reruns",
          "marts.workflow_runs", "marts.usage", "marts.run_labels", "marts.runs", "marts.daily", "marts.changed_files",
          "marts.pr_metrics")
MACROS = """
create macro json_get_str(json, a, b := null) as case when b is null then json_extract_string(json, a) else json_extract_string(json, '$.' || a || '.' || b) end;
create macro json_get_int(json, a) as try_cast(json_extract_string(json, a) as bigint);
create macro json_get_bool(json, a) as try_cast(json_extract_string(json, a) as boolean);
create macro json_as_text(json, a) as json_extract_string(json, a);
create macro json_get_array(json, a) as from_json(json_extract(json, a), '["VARCHAR"]');
create macro to_unixtime(moment) as cast(floor(epoch(moment)) as bigint);
create macro file_role(path) as case when path like '%test%' then 'test' else 'source' end;
create macro event_rank(type) as list_position(['edit', 'commit', 'push', 'command', 'test', 'ci_run', 'pr'], type);
"""


def argument(text: str, begin: int) -> int:
    """Where the parenthesis that opens before `begin` closes."""
    depth = 1
    for at in range(begin, len(text)):
        depth += {"(": 1, ")": -1}.get(text[at], 0)
        if depth == 0:
            return at
    raise ValueError(text[begin:])


def converted(text: str) -> str:
    """`arrow_cast` and `arrow_try_cast` as DuckDB has them."""
    kinds = {"Int64": "epoch_us({})", "Duration": "to_microseconds(cast({} as bigint))", "Timestamp": "try_cast({} as timestamptz)",
             "List": "try_cast({} as varchar[])", "Utf8": "cast({} as varchar)"}
    while found := re.search(r"arrow_(?:try_)?cast\(", text):
        end = argument(text, found.end())
        value, kind = re.fullmatch(r"(.*), '([^']*)'", text[found.end():end], re.S).groups()
        text = text[:found.start()] + kinds[kind.split("(")[0]].format(value) + text[end + 1:]
    return text


def dialect(text: str) -> str:
    text = converted(re.sub(r"--[^\n]*", "", text))
    # Whole hours and their like: an integer by an integer.
    text = re.sub(r"/ (?=3600000000\b)", "// ", text)
    text = text.replace("left semi join", "semi join").replace("left anti join", "anti join")
    text = re.sub(r"from (\w+ \w+)\s+right anti join (\w+ \w+) on", r"from \2 anti join \1 on", text)
    text = re.sub(r"last_value\((\w+)\) ignore nulls", r"last_value(\1 ignore nulls)", text)
    text = re.sub(r"first_value\((\w+)\) ignore nulls", r"first_value(\1 ignore nulls)", text)
    text = re.sub(r"(first|last)_value\(((?:[^()]|\([^()]*\))*?order by)", r"\1(\2", text)
    return text.replace("json_get_str(path)", "path")


def main() -> None:
    lake, out = (pathlib.Path(argument) for argument in sys.argv[1:])
    db = duckdb.connect(config={"threads": 2})
    db.execute("set enable_progress_bar = false; set timezone = 'UTC'; set preserve_insertion_order = false;")
    db.execute("create schema staging; create schema traces; create schema marts;" + MACROS)
    columns = {row[0] for row in db.execute(
        f"describe select * from read_parquet('{lake}/staging/events/*/*.parquet', union_by_name = true)").fetchall()}
    named = set(re.findall(r"\be\.(\w+)|\b([a-z]\w+)\b", " ".join(dialect(f.read_text()) for f in SQL.rglob("*.sql"))))
    words = {word for pair in named for word in pair if word}
    # Columns that no event of this dump filled are in no file.
    with open(SQL.parent / "pipeline/docs/tables.md") as page:
        section = page.read().split("## staging.events\n")[1].split("\n## ")[0]
    known = dict(re.findall(r"^\| `(\w+)` \| (\w+)", section, re.M))
    types = {"number": "double", "integer": "bigint", "true": "boolean", "time": "timestamptz"}
    missing = [f"cast(null as {types.get(kind, 'varchar')}) as {name}" for name, kind in known.items()
               if name not in columns and name in words]
    db.execute(f"create view staging.events as select *{''.join(', ' + m for m in missing)} "
               f"from read_parquet('{lake}/staging/events/*/*.parquet', union_by_name = true)")
    rows = {}
    for table in TABLES:
        schema, name = table.split(".")
        text = (SQL / schema / f"{name}.sql").read_text()
        partition = re.search(r"-- Partition: (\w+)", text)[1]
        folder = out / schema / name
        folder.parent.mkdir(parents=True, exist_ok=True)
        db.execute(f"copy ({dialect(text)}) to '{folder}' (format parquet, compression zstd, partition_by ({partition}))")
        if any(folder.rglob("*.parquet")):
            db.execute(f"create view {table} as select * from read_parquet('{folder}/*/*.parquet', hive_partitioning = true)")
            rows[table] = db.execute(f"select count(*) from {table}").fetchone()[0]
        else:
            db.execute(f"create view {table} as select * from ({dialect(text)}) limit 0")
            rows[table] = 0
    print(json.dumps(rows))


if __name__ == "__main__":
    main()
