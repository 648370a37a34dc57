"""Events and users per day of a lake, with Polars.

    python with_polars.py LOCATION [DAY]      such as: s3://my-bucket/amplitude/events 2025-11-06

LOCATION is a folder or the part of a bucket that holds amp-load's objects: .json, .json.gz or both, whatever the key template, as long as
an object's name has its day between two _. The bucket's settings are those of amp-load, from the environment or .env.
"""

import os
import sys

import polars as pl
from dotenv import find_dotenv, load_dotenv

# Given, not guessed: a guess from the first rows would fail on the first event of another shape.
SCHEMA = {
    "uuid": pl.String,
    "event_type": pl.String,
    "amplitude_id": pl.Int64,
    "user_id": pl.String,
    "event_time": pl.String,
    "server_upload_time": pl.String,
}


def settings_of_bucket() -> dict[str, str]:
    load_dotenv(find_dotenv(usecwd=True))
    settings = {
        "aws_access_key_id": os.environ.get("AWS_ACCESS_KEY"),
        "aws_secret_access_key": os.environ.get("AWS_SECRET_KEY"),
        "aws_region": os.environ.get("AWS_REGION") or "us-east-1",
        "aws_endpoint_url": os.environ.get("AWS_ENDPOINT_URL_S3"),
    }
    if (settings["aws_endpoint_url"] or "").startswith("http://"):
        settings["aws_allow_http"] = "true"
    return {name: value for name, value in settings.items() if value}


def main(location: str, day: str | None = None) -> None:
    # An export's object has its day between two _; nothing else in the bucket needs to.
    files = f"{location.rstrip('/')}/**/*_{day or '*-*-*'}_*.json*"
    options = settings_of_bucket() if location.startswith("s3://") else None
    events = pl.scan_ndjson(files, schema=SCHEMA, include_file_paths="file", storage_options=options)
    days = (
        events.group_by(day=pl.col("file").str.extract(r"_(\d{4}-\d\d-\d\d)_[^/]*$"))
        .agg(pl.len().alias("events"), pl.col("uuid").n_unique().alias("uuids"), pl.col("amplitude_id").n_unique().alias("users"))
        .sort("day")
    )
    for row in days.collect().iter_rows():
        print("{} {:>10} events {:>10} distinct {:>8} users".format(*row))


main(*sys.argv[1:])
