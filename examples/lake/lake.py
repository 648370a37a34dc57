"""What the scripts of this folder share: an event's columns, the bucket's settings, and the pattern of amp-load's keys."""

import os
from urllib.parse import urlsplit

import duckdb
from dotenv import find_dotenv, load_dotenv
from duckdb_extensions import import_extension

# An export's 55 columns, in its order. Given, not guessed: a guess from the first rows fails on the first event of another shape.
# A type stricter than VARCHAR stands only where Amplitude documents one; VARCHAR takes any value, an object as its JSON text.
COLUMNS = {
    "$insert_id": "VARCHAR",
    "$insert_key": "VARCHAR",
    "$schema": "VARCHAR",
    "adid": "VARCHAR",
    "amplitude_attribution_ids": "VARCHAR",
    "amplitude_event_type": "VARCHAR",
    "amplitude_id": "BIGINT",
    "app": "BIGINT",
    "city": "VARCHAR",
    "client_event_time": "TIMESTAMP",
    "client_upload_time": "TIMESTAMP",
    "country": "VARCHAR",
    "data": "JSON",
    "data_type": "VARCHAR",
    "device_brand": "VARCHAR",
    "device_carrier": "VARCHAR",
    "device_family": "VARCHAR",
    "device_id": "VARCHAR",
    "device_manufacturer": "VARCHAR",
    "device_model": "VARCHAR",
    "device_type": "VARCHAR",
    "dma": "VARCHAR",
    "event_id": "BIGINT",
    "event_properties": "JSON",
    "event_time": "TIMESTAMP",
    "event_type": "VARCHAR",
    "global_user_properties": "JSON",
    "group_properties": "JSON",
    "groups": "JSON",
    "idfa": "VARCHAR",
    "ip_address": "VARCHAR",
    "is_attribution_event": "BOOLEAN",
    "language": "VARCHAR",
    "library": "VARCHAR",
    "location_lat": "DOUBLE",
    "location_lng": "DOUBLE",
    "os_name": "VARCHAR",
    "os_version": "VARCHAR",
    "partner_id": "VARCHAR",
    "paying": "VARCHAR",
    "plan": "JSON",
    "platform": "VARCHAR",
    "processed_time": "TIMESTAMP",
    "region": "VARCHAR",
    "sample_rate": "VARCHAR",
    "server_received_time": "TIMESTAMP",
    "server_upload_time": "TIMESTAMP",
    "session_id": "BIGINT",
    "source_id": "VARCHAR",
    "start_version": "VARCHAR",
    "user_creation_time": "TIMESTAMP",
    "user_id": "VARCHAR",
    "user_properties": "JSON",
    # Text, because engines differ in how they read Parquet's UUID.
    "uuid": "VARCHAR",
    "version_name": "VARCHAR",
}


def keys_of(day: str = "*-*-*") -> str:
    """The glob of a day's objects, or all days': every key that ends with {file}, or is like {project}_{date}_{hour}_{part}.{ext}."""
    return f"**/*_{day}_*.json*"


def connect(*locations: str) -> duckdb.DuckDBPyConnection:
    """A connection that reads and writes the locations; for s3:// with amp-load's settings, from the environment or .env."""
    connection = duckdb.connect()
    if not any(location.startswith("s3://") for location in locations):
        return connection
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
    return connection
