"""Loads into S3 servers under adversity, and prints how each check ended on each of them."""

import argparse
import hashlib
import json
import os
import pathlib
import random
import re
import shutil
import signal
import subprocess
import sys
import traceback

import botocore.exceptions

from relay import Relay
from servers import ALL, BUCKET, Missing

ODD_KEYS = ["7_2025-11-06_0#0 space.json", "7_ünï→.json", "7_+&=?'\"().json", "7_~a.json"]
PERCENT_KEY = "7_%41%.json"
LARGE = 80 << 20


class Bad(Exception):
    """Data lost, or a change that was not seen: what this is looking for."""


class Place:
    """One server, and amp-load before it."""

    def __init__(self, server, folder):
        self.server, self.folder, self.serial = server, folder, 0
        self.s3 = server.client()

    def stage(self, files):
        """A fresh working directory with these files staged under new names."""
        self.serial += 1
        self.work = self.folder / f"run-{self.serial}"
        self.staged = self.work / "extracted_data"
        self.staged.mkdir(parents=True)
        self.files = {f"{self.serial}/{name}": content for name, content in files.items()}
        for name, content in files.items():
            (self.staged / name).write_bytes(content)
        return self

    def command(self, *args, endpoint=None, **settings):
        """amp-load, and its environment."""
        environment = {"PATH": os.environ["PATH"], "HOME": str(self.work), "AWS_EC2_METADATA_DISABLED": "true",
                       "AWS_ACCESS_KEY": self.server.key, "AWS_SECRET_KEY": self.server.secret, "AWS_REGION": "us-east-1",
                       "AWS_BUCKET_NAME": BUCKET, "AWS_ENDPOINT_URL_S3": endpoint or self.server.endpoint,
                       "AMP_S3_PREFIX": f"{self.serial}/", "AMP_RETRY_BASE": "20ms", "AMP_MAX_RETRIES": "2", **settings}
        return ["amp-load", "--output", "json", *args], {"cwd": self.work, "env": environment, "text": True}

    def load(self, *args, **settings):
        """A run to its end: exit code, document, warnings."""
        argv, how = self.command(*args, **settings)
        ended = subprocess.run(argv, capture_output=True, timeout=300, **how)
        self.said = ended.stderr
        self.document = json.loads(ended.stdout) if ended.stdout else {}
        return ended.returncode

    def object(self, key):
        """The bytes in the bucket, asked for as plainly as can be."""
        try:
            return self.s3.get_object(Bucket=BUCKET, Key=key)["Body"].read()
        except botocore.exceptions.ClientError as error:
            if error.response["Error"]["Code"] in ("NoSuchKey", "404"):
                return None
            raise

    def judge(self, code):
        """`ok` or `exit N`; every file must be here, or whole in the bucket."""
        kept = 0
        for key, content in self.files.items():
            if (self.staged / key.partition("/")[2]).exists():
                kept += 1
            elif self.object(key) != content:
                raise Bad(f"LOST {key.partition('/')[2]}, exit {code}")
        left = f", {kept} kept" if kept and kept < len(self.files) else ""
        return ("ok" if code == 0 else f"exit {code}") + (", kept" if kept == len(self.files) else left)

    def proof(self):
        """What the load records say that confirmed the objects."""
        records = [json.loads(line) for path in self.staged.glob(".amp/loads/*") for line in path.read_text().splitlines()]
        proofs = sorted({str(record["proof"]) for record in records if "proof" in record})
        return f", {' + '.join(proofs)}" if proofs else ""

    def open_uploads(self):
        try:
            uploads = self.s3.list_multipart_uploads(Bucket=BUCKET).get("Uploads", [])
        except botocore.exceptions.ClientError:
            return "not listed by the server"
        for upload in uploads:
            self.s3.abort_multipart_upload(Bucket=BUCKET, Key=upload["Key"], UploadId=upload["UploadId"])
        return f"{len(uploads)} open"

    def known(self, key):
        """An object's description by the server."""
        return self.s3.head_object(Bucket=BUCKET, Key=key)


def content(size, seed=0):
    return random.Random(f"{size} {seed}").randbytes(size)


def small(count=48):
    return {f"7_2025-11-06_{n // 2}#{n % 2}.json": content(20_000 + n, n) for n in range(count)}


def large():
    return {"7_2025-11-06_5#0.json": content(LARGE)}


def result(place, *args, **settings):
    return place.judge(place.load(*args, **settings)) + place.proof()


def proof_of_small(place):
    return result(place.stage(small()))


def odd_keys(place):
    ended = result(place.stage({name: name.encode() for name in ODD_KEYS}))
    try:
        percent = result(place.stage({PERCENT_KEY: b"percent"}))
    except (Bad, botocore.exceptions.BotoCoreError, botocore.exceptions.ClientError):
        percent = "unreadable"
    return ended if percent == ended else f"{ended}; with % {percent}"


def exists(policy):
    def check(place):
        result(place.stage(small(4)))
        first = dict(place.files)
        for name in small(4):
            (place.staged / name).write_bytes(first[f"{place.serial}/{name}"])
        code = place.load("--if-exists", policy)
        return f"exit {code}, {place.document['files']['skipped']} skipped, {place.document['files']['failed']} failed"
    return check


def verify(change):
    def check(place):
        loaded = result(place.stage(small(4)))
        if not loaded.startswith("ok"):
            return f"not loaded: {loaded}"
        key = f"{place.serial}/7_2025-11-06_1#0.json"
        expected = change(place, key)
        seen = []
        for how in ([], ["--read-data"]):
            code = place.load("--verify", *how)
            named = "7_2025-11-06_1#0" in place.said or "7_2025-11-06_1#0" in json.dumps(place.document)
            seen.append(f"exit {code}" + (", named" if named and code else ""))
            if expected and code == 0:
                raise Bad(f"NOT SEEN by --verify {' '.join(how)}".rstrip())
        return seen[0] if seen[0] == seen[1] else f"{seen[0]}; with --read-data {seen[1]}"
    return check


def untouched(place, key):
    return False


def overwritten(place, key):
    place.s3.put_object(Bucket=BUCKET, Key=key, Body=content(len(place.files[key]), "other"))
    return True


def deleted(place, key):
    place.s3.delete_object(Bucket=BUCKET, Key=key)
    return True


def load_large(*args):
    return lambda place: result(place.stage(large()), *args) + (f"; {left}" if (left := place.open_uploads()) != "0 open" else "")


def flipped(files, pattern, *args):
    def check(place):
        with Relay(place.server.port, flip=pattern) as relay:
            ended = result(place.stage(files()), *args, endpoint=relay.endpoint)
            return ended if relay.flipped.is_set() else f"not reached: {ended}"
    return check


def stopped(number):
    def check(place):
        with Relay(place.server.port, hold=r"PUT .*partNumber=2\b") as relay:
            argv, how = place.stage(large()).command(endpoint=relay.endpoint)
            running = subprocess.Popen(argv, stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL, **how)
            while not relay.held.wait(0.1):
                if running.poll() is not None:
                    return f"not reached: {place.judge(running.returncode)}"
            running.send_signal(number)
            first = running.wait(60)
            if number == signal.SIGTERM:
                return f"{place.judge(first)}, {place.open_uploads()}"
            # By the same way: uploads that another way left open are another server's.
            relay.free.set()
            return f"then {result(place, endpoint=relay.endpoint)}, {place.open_uploads()}"
    return check


def refused(**settings):
    def check(place):
        place.stage(small(2))
        code = place.load("--max-retries", "0", **settings)
        return place.judge(code)
    return check


def asked_for(args, confirmed):
    def check(place):
        ended = result(place.stage(small(2)), *args)
        if not ended.startswith("ok"):
            return ended
        there = confirmed(place, next(iter(place.files)))
        return f"{ended}, {'applied' if there else 'NOT applied'}{', said' if place.said else ''}"
    return check


def has_tags(place, key):
    try:
        return bool(place.s3.get_object_tagging(Bucket=BUCKET, Key=key)["TagSet"])
    except botocore.exceptions.ClientError:
        return False


CHECKS = [
    ("48 small files", proof_of_small),
    ("keys with space, `+&=?'\"()~`, umlauts, `%`", odd_keys),
    ("`--if-exists skip`", exists("skip")),
    ("`--if-exists fail`", exists("fail")),
    ("`--verify`, untouched", verify(untouched)),
    ("`--verify` after an overwrite of the same size", verify(overwritten)),
    ("`--verify` after a delete", verify(deleted)),
    ("80 MB in parts", load_large()),
    ("80 MB, `--checksum sha256`", load_large("--checksum", "sha256")),
    ("80 MB, `--checksum crc32c`", load_large("--checksum", "crc32c")),
    ("80 MB, `--multipart-threshold 5GiB`", load_large("--multipart-threshold", "5GiB")),
    ("one byte flipped on the way, small file", flipped(lambda: small(2), r"PUT .*_0%230\.json")),
    ("one byte flipped on the way, one part", flipped(large, r"PUT .*partNumber=2\b")),
    ("one byte flipped on the way, 80 MB in one request", flipped(large, r"PUT .*_5%230\.json", "--multipart-threshold", "5GiB")),
    ("SIGKILL within an upload in parts, then a run", stopped(signal.SIGKILL)),
    ("SIGTERM within an upload in parts", stopped(signal.SIGTERM)),
    ("wrong secret", refused(AWS_SECRET_KEY="guess")),
    ("unknown key", refused(AWS_ACCESS_KEY="GKffffffffffffffffffffffff")),
    ("missing bucket", refused(AWS_BUCKET_NAME="nowhere")),
    ("`--sse AES256`", asked_for(["--sse", "AES256"], lambda place, key: place.known(key).get("ServerSideEncryption"))),
    ("`--storage-class STANDARD_IA`",
     asked_for(["--storage-class", "STANDARD_IA"], lambda place, key: place.known(key).get("StorageClass") == "STANDARD_IA")),
    ("`--tags`", asked_for(["--tags", "team=data"], has_tags)),
    ("`--expected-bucket-owner` of another", refused(AMP_EXPECTED_BUCKET_OWNER="123456789012")),
]


def main():
    parser = argparse.ArgumentParser()
    parser.add_argument("--folder", type=pathlib.Path, required=True)
    parser.add_argument("--only", action="append", default=[], metavar="SERVER", help="part of a server's name")
    parser.add_argument("--check", default="", metavar="TEXT", help="part of a check's name")
    args = parser.parse_args()
    columns, bad = [], []
    for kind in ALL:
        if args.only and not any(part.lower() in kind.name.lower() for part in args.only):
            continue
        folder = args.folder / re.sub(r"\W", "-", kind.name)
        shutil.rmtree(folder, ignore_errors=True)
        try:
            with kind(folder / "server") as server:
                cells = {}
                for name, check in CHECKS:
                    if args.check not in name:
                        continue
                    try:
                        cells[name] = check(Place(server, folder / hashlib.sha1(name.encode()).hexdigest()[:8]))
                    except Bad as found:
                        cells[name] = f"**{found}**"
                        bad.append(f"{kind.name}: {name}: {found}")
                    except Exception as error:
                        traceback.print_exc()
                        cells[name] = f"could not be checked: {type(error).__name__}"
                        bad.append(f"{kind.name}: {name}: {error}")
                    print(f"{kind.name} | {name} | {cells[name]}", file=sys.stderr, flush=True)
                columns.append((kind.name, cells))
        except (Missing, OSError, subprocess.CalledProcessError, botocore.exceptions.BotoCoreError) as error:
            print(f"{kind.name}: LEFT OUT: {error}", file=sys.stderr)
            log = folder / "server" / "log"
            print(log.read_text(errors="replace")[-2000:] if log.exists() else "", file=sys.stderr)
    print("| check | " + " | ".join(name for name, _ in columns) + " |")
    print("|---" * (len(columns) + 1) + "|")
    for name, _ in CHECKS:
        if any(name in cells for _, cells in columns):
            print(f"| {name} | " + " | ".join(cells.get(name, "-") for _, cells in columns) + " |")
    for line in bad:
        print(f"BAD: {line}", file=sys.stderr)
    return 1 if bad else 0


if __name__ == "__main__":
    sys.exit(main())
