"""Events and users per day of a lake, with Spark.

    spark-submit with_spark.py LOCATION [DAY]     such as: s3a://my-bucket/amplitude/events 2025-11-06

LOCATION holds amp-load's objects under the key template events/project={project}/date={date}/hour={hour}/{file}. For s3a:// the session
needs the package hadoop-aws of Spark's own Hadoop version. Or the folder that parquet_day.py writes.
"""

import sys
from pathlib import Path

from pyspark.sql import SparkSession
from pyspark.sql import functions as f

# Given, not guessed: a guess reads everything once, and two events may disagree. STRING takes an object as its JSON text.
SCHEMA = """
    uuid STRING, event_type STRING, amplitude_id BIGINT, user_id STRING, event_time TIMESTAMP_NTZ, server_upload_time TIMESTAMP_NTZ,
    event_properties STRING, user_properties STRING, date DATE, hour STRING
"""


def main(location: str, day: str | None = None) -> None:
    spark = SparkSession.builder.appName("amplitude").getOrCreate()
    if next(Path(location).glob("date=*/*.parquet"), None):
        events = spark.read.parquet(location)
    else:
        events = spark.read.json(location, schema=SCHEMA, mode="FAILFAST")
    if day:
        events = events.where(f.col("date") == f.lit(day).cast("date"))
    days = events.groupBy("date").agg(f.count("*"), f.countDistinct("uuid"), f.countDistinct("amplitude_id"))
    for row in days.orderBy("date").collect():
        print("{} {:>10} events {:>10} distinct {:>8} users".format(*row))


main(*sys.argv[1:])
