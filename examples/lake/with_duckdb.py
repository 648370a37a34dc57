"""Events and users per day of a lake, with DuckDB.

    python with_duckdb.py LOCATION [DAY]      such as: s3://my-bucket/amplitude/events 2025-11-06

LOCATION is a folder or the part of a bucket that holds amp-load's objects: .json, .json.gz or both, whatever the key template, as long as
an object's name has its day between two _. The bucket's settings are those of amp-load, from the environment or .env.
"""

import sys

from lake import COLUMNS, connect, keys_of


def main(location: str, day: str | None = None) -> None:
    files = f"{location.rstrip('/')}/{keys_of()}"
    events = connect(location).read_json(
        files, columns=COLUMNS, format="newline_delimited", filename=True, hive_partitioning=True
    )
    # A key template with date={date} makes `date` a column. Either way DuckDB opens the objects of the day asked for only.
    date = "date" if "date" in events.columns else r"regexp_extract(filename, '_(\d{4}-\d\d-\d\d)_', 1)::DATE"
    if day:
        events = events.filter(f"{date} = DATE '{day}'")
    days = events.aggregate(f"{date} AS day, count(*) AS events, count(DISTINCT uuid) AS uuids, count(DISTINCT amplitude_id) AS users")
    for row in days.order("day").fetchall():
        print("{} {:>10} events {:>10} distinct {:>8} users".format(*row))


main(*sys.argv[1:])
