"""Events and users per day of a lake, with DuckDB.

    python with_duckdb.py LOCATION [DAY]      such as: s3://my-bucket/amplitude/events 2025-11-06

LOCATION is a folder or the part of a bucket that holds amp-load's objects: .json, .json.gz or both, whatever the key template, as long as
it ends with {file}. The bucket's settings are those of amp-load, from the environment or .env.
"""

import os
import sys
from urllib.parse import urlsplit

import duckdb
from dotenv import find_dotenv, load_dotenv
from duckdb_extensions import import_extension

# Given, not guessed: a guess from the first rows would fail on the first event of another shape.
COLUMNS = {
    "uuid": "UUID",
    "event_type": "VARCHAR",
    "amplitude_id": "BIGINT",
    "user_id": "VARCHAR",
    "event_time": "TIMESTAMP",
    "server_upload_time": "TIMESTAMP",
    "event_properties": "JSON",
    "user_properties": "JSON",
}


def connect_to_bucket(connection: duckdb.DuckDBPyConnection) -> None:
    load_dotenv(find_dotenv(usecwd=True))
    # With a network, INSTALL httpfs does the same; this one comes from PyPI.
    import_extension("httpfs", con=connection)
    connection.load_extension("httpfs")
    endpoint = urlsplit(os.environ.get("AWS_ENDPOINT_URL_S3") or "https://s3.amazonaws.com")
    own = endpoint.hostname != "s3.amazonaws.com"
    connection.execute(
        "CREATE SECRET (TYPE s3, KEY_ID $key, SECRET $secret, REGION $region"
        + (", ENDPOINT $endpoint, URL_STYLE 'path', USE_SSL $tls)" if own else ")"),
        {
            "key": os.environ["AWS_ACCESS_KEY"],
            "secret": os.environ["AWS_SECRET_KEY"],
            "region": os.environ.get("AWS_REGION") or "us-east-1",
        }
        | ({"endpoint": endpoint.netloc, "tls": endpoint.scheme == "https"} if own else {}),
    )


def main(location: str, day: str | None = None) -> None:
    connection = duckdb.connect()
    if location.startswith("s3://"):
        connect_to_bucket(connection)
    # Every part of an export has a # in its name, and nothing else in the bucket needs to.
    files = f"{location.rstrip('/')}/**/*#*.json*"
    events = connection.read_json(files, columns=COLUMNS, format="newline_delimited", filename=True, hive_partitioning=True)
    # A key template with date={date} makes `date` a column. Either way DuckDB opens the objects of the day asked for only.
    date = "date" if "date" in events.columns else r"regexp_extract(filename, '_(\d{4}-\d\d-\d\d)_', 1)::DATE"
    if day:
        events = events.filter(f"{date} = DATE '{day}'")
    days = events.aggregate(f"{date} AS day, count(*) AS events, count(DISTINCT uuid) AS uuids, count(DISTINCT amplitude_id) AS users")
    for row in days.order("day").fetchall():
        print("{} {:>10} events {:>10} distinct {:>8} users".format(*row))


main(*sys.argv[1:])
