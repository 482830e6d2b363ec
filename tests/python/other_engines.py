"""Reads every table of a lake with the deltalake package, Polars and DuckDB, and compares with what `pipeline sql` says.

    other_engines.py PROGRAM LAKE
    other_engines.py --plain PROGRAM LAKE

Each engine must give the same rows: as many, and the same values in every column. Prints one line a table; exits with 1 at a
difference. DuckDB reads the Parquet files that the Delta log names, since its delta extension is a download; with --plain it
reads every Parquet file in the table's folder, as is promised after compact and vacuum.
"""

import hashlib
import json
import subprocess
import sys
import tempfile
from pathlib import Path

import deltalake
import duckdb
import polars
import pyarrow
import pyarrow.parquet


def tables(lake):
    return sorted(log.parent for log in Path(lake).glob("*/*/_delta_log"))


def told(program, lake, name, folder):
    """What `pipeline sql` says, handed over as Parquet."""
    out = Path(folder) / f"{name}.parquet"
    query = f"select * from {name}"
    subprocess.run([program, "-q", "--lake", lake, "sql", query, "--format", "parquet", "-o", out], check=True)
    return pyarrow.parquet.read_table(out)


def with_deltalake(path):
    return pyarrow.table(deltalake.DeltaTable(path).to_pyarrow_dataset().to_table())


def with_polars(path):
    return polars.scan_delta(str(path)).collect().to_arrow()


def with_duckdb(path, plain):
    table = deltalake.DeltaTable(path)
    files = [str(file) for file in path.glob("**/*.parquet") if "_delta_log" not in file.parts] if plain else table.file_uris()
    if not files:
        return with_deltalake(path)  # nothing to read
    with duckdb.connect() as connection:
        connection.execute("set timezone = 'UTC'")
        query = "select * from read_parquet($files, union_by_name = true, hive_partitioning = true)"
        found = connection.sql(query, params={"files": files}).to_arrow_table()
    # A column that no file holds is null in every row.
    for field in table.schema().fields:
        if field.name not in found.column_names:
            found = found.append_column(field.name, pyarrow.nulls(found.num_rows))
    return found


def canonical(value):
    """One value, whatever type an engine chose for it."""
    if hasattr(value, "isoformat"):
        return value.isoformat().replace("+00:00", "")
    if isinstance(value, float):
        return int(value) if value.is_integer() else round(value, 12)
    if isinstance(value, dict):
        return {key: canonical(inner) for key, inner in sorted(value.items())}
    if isinstance(value, list):
        return [canonical(inner) for inner in value]
    return value


def checksums(table, names):
    """Per column and of whole rows, whatever their order."""
    columns = [[json.dumps(canonical(value)) for value in table.column(name).to_pylist()] for name in names]
    digest = lambda values: hashlib.sha256("\n".join(sorted(values)).encode()).hexdigest()[:16]
    sums = {name: digest(values) for name, values in zip(names, columns)}
    sums["(whole rows)"] = digest("\t".join(row) for row in zip(*columns))
    return sums


def main(arguments):
    plain = arguments[:1] == ["--plain"]
    program, lake = arguments[plain:]
    engines = [("deltalake", with_deltalake), ("Polars", with_polars), ("DuckDB", lambda path: with_duckdb(path, plain))]
    wrong = 0
    with tempfile.TemporaryDirectory() as folder:
        for path in tables(lake):
            name = f"{path.parent.name}.{path.name}"
            want = told(program, lake, name, folder)
            names = want.column_names
            sums = checksums(want, names)
            print(f"{name}: {want.num_rows} rows", flush=True)
            for engine, read in engines:
                got = read(path)
                if sorted(got.column_names) != sorted(names):
                    wrong += 1
                    print(f"  {engine} sees other columns: {sorted(set(got.column_names) ^ set(names))}")
                    continue
                differ = [column for column, sum in checksums(got, names).items() if sum != sums[column]]
                if got.num_rows != want.num_rows or differ:
                    wrong += 1
                    print(f"  {engine} has {got.num_rows} rows; other values in {', '.join(differ)}")
    return 1 if wrong else 0


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
