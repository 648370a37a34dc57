"""Brings the days of parquet_day.py into an Iceberg table, with PyIceberg.

    python iceberg_day.py PARQUET WAREHOUSE [CATALOG_URI]     such as: parquet /srv/warehouse

The table is amplitude.events, partitioned by `date`, the day of arrival. Its catalog is an SQLite file in WAREHOUSE, or CATALOG_URI. A day
replaces what the table has of that day, in the transaction that notes its manifest's digest as a property of the table: run twice, or
killed anywhere, it has each event once. A day is held in memory while it is written.
"""

import sys
from datetime import date
from pathlib import Path

import pyarrow as pa
import pyarrow.parquet as pq
from pyiceberg.catalog import Catalog
from pyiceberg.catalog.sql import SqlCatalog
from pyiceberg.exceptions import NoSuchTableError
from pyiceberg.expressions import EqualTo
from pyiceberg.table import Table
from pyiceberg.transforms import IdentityTransform

NAME = "amplitude.events"


def open_table(catalog: Catalog, schema: pa.Schema) -> Table:
    try:
        return catalog.load_table(NAME)
    except NoSuchTableError:
        catalog.create_namespace_if_not_exists("amplitude")
        table = catalog.create_table(NAME, schema=schema)
        with table.update_spec() as spec:
            spec.add_field("date", IdentityTransform(), "date")
        return table


def main(parquet: str, warehouse: str, uri: str | None = None) -> None:
    folder = Path(warehouse).absolute()
    folder.mkdir(parents=True, exist_ok=True)
    catalog = SqlCatalog("lake", uri=uri or f"sqlite:///{folder}/catalog.db", warehouse=f"file://{folder}")
    for file in sorted(Path(parquet).glob("date=*/events.parquet")):
        day = file.parent.name.removeprefix("date=")
        digest = pq.read_metadata(file).metadata[b"manifest_sha256"].decode()
        # ParquetFile, because read_table makes a column of the folder's name too.
        events = pq.ParquetFile(file, arrow_extensions_enabled=False).read().replace_schema_metadata()
        events = events.append_column("date", pa.repeat(pa.scalar(date.fromisoformat(day)), len(events)))
        table = open_table(catalog, events.schema)
        if table.properties.get(f"manifest.{day}") == digest:
            print(day, "unchanged")
            continue
        with table.transaction() as transaction:
            transaction.overwrite(events, EqualTo("date", day))
            transaction.set_properties({f"manifest.{day}": digest})
        print(day, len(events), "events")


main(*sys.argv[1:])
