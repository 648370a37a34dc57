"""A typed Parquet file of each complete day, made with DuckDB from the day's manifest.

    python parquet_day.py ROOT MANIFESTS OUTPUT [DAY...]      such as: s3://my-bucket _manifests/ parquet

ROOT is the bucket or a copy of it, MANIFESTS is amp-load's --manifest-prefix, OUTPUT a local folder. Without a DAY every day with a
manifest is looked at. A day becomes OUTPUT/date=DAY/events.parquet, whole or not at all. The file's metadata has the SHA-256 of its manifest:
a day is made again when its manifest changed, and only then.
"""

import json
import os
import sys
from pathlib import Path

import duckdb
from lake import COLUMNS, connect


def digest_of(connection: duckdb.DuckDBPyConnection, file: Path) -> str | None:
    """The digest of the manifest that a day's file was made from."""
    if not file.exists():
        return None
    found = connection.execute(
        "SELECT decode(value) FROM parquet_kv_metadata($file) WHERE decode(key) = 'manifest_sha256'", {"file": str(file)}
    ).fetchone()
    return found and found[0]


def make(connection: duckdb.DuckDBPyConnection, root: str, manifest: dict, digest: str, file: Path) -> int:
    keys = [f"{root}/{entry['key']}" for entry in manifest["files"]]
    if keys:
        events = connection.read_json(keys, columns=COLUMNS, format="newline_delimited", hive_partitioning=False)
    else:
        events = connection.sql("SELECT " + ", ".join(f'NULL::{kind} AS "{name}"' for name, kind in COLUMNS.items()) + " LIMIT 0")
    events.create_view("events_of_day", replace=True)
    file.parent.mkdir(parents=True, exist_ok=True)
    unfinished = file.with_name(f"events.{os.getpid()}.unfinished")
    try:
        (rows,) = connection.execute(
            "COPY events_of_day TO $file (FORMAT parquet, COMPRESSION zstd, KV_METADATA {manifest_sha256: $digest})",
            {"file": str(unfinished), "digest": digest},
        ).fetchone()
        expected = manifest["totals"]["lines"]
        # null: amp-load was told to accept a file that had changed.
        if expected is not None and rows != expected:
            sys.exit(f"{manifest['date']}: the objects have {rows} events, the manifest says {expected}; run amp-load, it puts the manifest last")
        with open(unfinished, "rb") as written:
            os.fsync(written.fileno())
        unfinished.replace(file)
    finally:
        unfinished.unlink(missing_ok=True)
    return rows


def main(root: str, manifests: str, output: str, *days: str) -> None:
    root = root.rstrip("/")
    connection = connect(root)
    found = connection.execute(
        "SELECT content, sha256(content) FROM read_text($files) ORDER BY filename",
        {"files": [f"{root}/{manifests}{'' if manifests.endswith('/') else '/'}{day}.json" for day in days or ["*-*-*"]]},
    ).fetchall()
    for content, digest in found:
        manifest = json.loads(content)
        file = Path(output, f"date={manifest['date']}", "events.parquet")
        if digest_of(connection, file) == digest:
            print(manifest["date"], "unchanged")
        else:
            print(manifest["date"], make(connection, root, manifest, digest, file), "events")


main(*sys.argv[1:])
