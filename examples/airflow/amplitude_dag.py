"""Amplitude to S3 with Airflow 3: each day by itself, and backfills in slices.

The workers need amp-extract and amp-load on their PATH, the settings in AMPLITUDE_ENV_FILE (an .env of theirs) and a disk of their
own below AMPLITUDE_WORK_DIR. It need not outlive them: another worker fetches the day again, and the same keys get the same bytes.
"""

from __future__ import annotations

import json
import os
import subprocess
from datetime import datetime, timedelta, timezone
from pathlib import Path

from airflow.sdk import Asset, CronDataIntervalTimetable, Param, dag, get_current_context, task
from airflow.sdk.exceptions import AirflowException, AirflowFailException

ENV_FILE = os.environ.get("AMPLITUDE_ENV_FILE", "/etc/amplitude/amplitude.env")
WORK_DIR = Path(os.environ.get("AMPLITUDE_WORK_DIR", "/var/lib/amplitude"))

# For DAGs of yours: schedule=[EVENTS]. Where a job outside of Airflow loads the days, let amp-load --manifest-prefix manifests put
# an object when a day is complete, and wait for it:
#   S3KeySensor(task_id="complete", bucket_key="s3://BUCKET/manifests/{{ data_interval_start | ds }}.json", deferrable=True)
EVENTS = Asset("amplitude_events")

# For temporary failures: exit codes 1 and 75.
RETRIES = {
    "retries": 4,
    "retry_delay": timedelta(minutes=10),
    "retry_exponential_backoff": True,
    "max_retry_delay": timedelta(hours=2),
}
# For what someone must fix: settings, credentials, permissions.
FATAL = {2, 3}


def run(program: str, *args: str, directory: Path) -> tuple[int, dict]:
    """Exit code and result. What the program says while it works goes to the task's log."""
    command = [program, *args, "--env-file", ENV_FILE, "--output", "json"]
    with subprocess.Popen(command, cwd=directory, stdout=subprocess.PIPE, text=True) as child:
        try:
            result, _ = child.communicate()
        except BaseException:
            # The task is being stopped: the program shall put things in order.
            child.terminate()
            child.wait()
            raise
    print(program, "ended with", child.returncode, result)
    return child.returncode, json.loads(result) if result.startswith("{") else {}


def export(directory: Path, *window: str) -> dict:
    """Extracts and loads in one task, since both need the same disk."""
    directory.mkdir(parents=True, exist_ok=True, mode=0o700)
    extract, extracted = run("amp-extract", *window, directory=directory)
    # What was extracted is loaded even when a part of it failed.
    load, loaded = run("amp-load", directory=directory)
    failures = [*extracted.get("failures", []), *loaded.get("failures", [])]
    if FATAL & {extract, load}:
        raise AirflowFailException(f"amp-extract ended with {extract}, amp-load with {load}: {failures}")
    if extract or load:
        raise AirflowException(f"amp-extract ended with {extract}, amp-load with {load}: {failures}")
    return {"events": extracted["events"], "files": loaded["files"]["uploaded"]}


# An hour can be exported 2 hours after it ends: at 03:15 UTC the day before is complete. With catchup, days on which the scheduler
# was down are made up for; start_date is the first day you want.
@dag(
    schedule=CronDataIntervalTimetable("15 3 * * *", timezone="UTC"),
    start_date=datetime(2025, 11, 1, tzinfo=timezone.utc),
    catchup=True,
    max_active_runs=1,
    default_args=RETRIES,
    tags=["amplitude"],
)
def amplitude_daily():
    @task(outlets=[EVENTS])
    def export_day() -> dict:
        day = get_current_context()["data_interval_start"].strftime("%Y-%m-%d")
        return export(WORK_DIR / "daily", "--date", day)

    export_day()


# Slices run side by side, each in a directory of its own; more of them than run at once keep disks and retries small.
@dag(
    schedule=None,
    max_active_runs=1,
    default_args=RETRIES,
    params={
        "start": Param("2025-11-01", type="string", format="date"),
        "end": Param("2025-11-30", type="string", format="date"),
        "shards": Param(10, type="integer", minimum=1, maximum=1000),
    },
    tags=["amplitude"],
)
def amplitude_backfill():
    @task
    def slices() -> list[str]:
        shards = get_current_context()["params"]["shards"]
        return [f"{number}/{shards}" for number in range(1, shards + 1)]

    # Each has one request to Amplitude open at a time; more than 4 are not polite.
    @task(max_active_tis_per_dagrun=4, outlets=[EVENTS])
    def export_slice(shard: str) -> dict:
        params = get_current_context()["params"]
        directory = WORK_DIR / "backfill" / f"{params['start']}_{params['end']}" / shard.replace("/", "-of-")
        return export(directory, "--start", params["start"], "--end", params["end"], "--parallel", "1", "--shard", shard)

    export_slice.expand(shard=slices())


amplitude_daily()
amplitude_backfill()
