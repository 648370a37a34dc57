"""S3 servers that are not ours, each in a folder of its own, on free ports of loopback, with one bucket."""

import json
import os
import pathlib
import shutil
import signal
import socket
import subprocess
import time
import urllib.error
import urllib.request

import boto3
import botocore.config
import botocore.exceptions

BUCKET = "lake"
# As Garage wants them; the others take any.
KEY, SECRET = "GK0123456789abcdef01234567", "0123456789abcdef" * 4


class Missing(Exception):
    """A server that cannot be had here."""


class Server:
    """Runs inside a `with` block."""

    def __init__(self, folder):
        self.folder = pathlib.Path(folder)
        self.folder.mkdir(parents=True)
        self.key, self.secret = KEY, SECRET
        self.processes = []
        self.port = free_port()

    def __enter__(self):
        try:
            self.start()
            self.wait_for(self.make_bucket)
        except BaseException:
            self.__exit__()
            raise
        return self

    def __exit__(self, *_):
        for process in reversed(self.processes):
            os.killpg(process.pid, signal.SIGKILL)
            process.wait()

    @property
    def endpoint(self):
        return f"http://127.0.0.1:{self.port}"

    def client(self, **settings):
        """boto3, as its users have it, but for the settings."""
        config = botocore.config.Config(s3={"addressing_style": "path"}, retries={"total_max_attempts": 1}, **settings)
        return boto3.client("s3", endpoint_url=self.endpoint, region_name="us-east-1", aws_access_key_id=self.key,
                            aws_secret_access_key=self.secret, config=config)

    def make_bucket(self):
        plain = self.client(request_checksum_calculation="when_required")
        try:
            plain.create_bucket(Bucket=BUCKET)
        except botocore.exceptions.ClientError as error:
            if error.response["Error"]["Code"] not in ("BucketAlreadyOwnedByYou", "BucketAlreadyExists"):
                raise
        plain.put_object(Bucket=BUCKET, Key="probe", Body=b"probe")
        plain.delete_object(Bucket=BUCKET, Key="probe")

    def wait_for(self, attempt):
        deadline = time.monotonic() + 120
        while True:
            try:
                return attempt()
            except (botocore.exceptions.BotoCoreError, botocore.exceptions.ClientError, OSError, subprocess.CalledProcessError):
                if time.monotonic() > deadline or any(process.poll() is not None for process in self.processes):
                    raise
                time.sleep(0.5)

    def run(self, *argv, **settings):
        """A process until the end."""
        if not shutil.which(argv[0]):
            raise Missing(f"{argv[0]} cannot be installed here")
        log = open(self.folder / "log", "ab")
        self.processes.append(subprocess.Popen(
            [str(word) for word in argv], cwd=self.folder, stdin=subprocess.DEVNULL, stdout=log, stderr=log, start_new_session=True,
            env={**os.environ, **settings}))

    def call(self, *argv):
        """A command of the server's own."""
        if not shutil.which(argv[0]):
            raise Missing(f"{argv[0]} cannot be installed here")
        done = subprocess.run([str(word) for word in argv], cwd=self.folder, check=True, capture_output=True, text=True, timeout=60)
        return done.stdout


class Garage(Server):
    name = "Garage 2.5"

    def start(self):
        rpc, admin = free_port(), free_port()
        (self.folder / "garage.toml").write_text(f"""
metadata_dir = "meta"
data_dir = "data"
db_engine = "sqlite"
replication_factor = 1
rpc_bind_addr = "127.0.0.1:{rpc}"
rpc_public_addr = "127.0.0.1:{rpc}"
rpc_secret = "{'42' * 32}"
[s3_api]
s3_region = "us-east-1"
api_bind_addr = "127.0.0.1:{self.port}"
root_domain = ".s3.localtest"
[admin]
api_bind_addr = "127.0.0.1:{admin}"
""")
        garage = ["garage", "-c", "garage.toml"]
        self.run(*garage, "server")
        node = self.wait_for(lambda: self.call(*garage, "node", "id", "-q")).split("@")[0].strip()
        self.wait_for(lambda: self.call(*garage, "status"))
        self.call(*garage, "layout", "assign", node, "-z", "here", "-c", "1G")
        self.call(*garage, "layout", "apply", "--version", "1")
        self.call(*garage, "key", "import", "--yes", KEY, SECRET, "-n", "matrix")
        self.call(*garage, "bucket", "create", BUCKET)
        self.call(*garage, "bucket", "allow", "--read", "--write", "--owner", BUCKET, "--key", KEY)


class SeaweedFs(Server):
    name = "SeaweedFS 4.48"

    def start(self):
        identity = {"name": "matrix", "credentials": [{"accessKey": KEY, "secretKey": SECRET}],
                    "actions": ["Admin", "Read", "Write", "List", "Tagging"]}
        (self.folder / "s3.json").write_text(json.dumps({"identities": [identity]}))
        ports = {f"{part}.port{grpc}": free_port() for part in ("master", "volume", "filer", "admin", "s3") for grpc in ("", ".grpc")}
        ports["s3.port"] = self.port
        self.run("weed", "mini", "-ip=127.0.0.1", "-ip.bind=127.0.0.1", "-dir=.", "-s3.config=s3.json", "-s3.autoCreateBucket=false",
                 "-master.telemetry=false", "-webdav=false", "-admin.ui=false", "-s3.port.iceberg=0", "-s3.port.lance=0",
                 *(f"-{name}={port}" for name, port in ports.items()))


class CephRgw(Server):
    name = "Ceph RGW 16.2"

    def start(self):
        for command in ("ceph-mon", "ceph-osd", "radosgw", "radosgw-admin", "monmaptool", "ceph-authtool", "ceph"):
            if not shutil.which(command):
                raise Missing(f"{command} cannot be installed here")
        v2, v1 = free_port(), free_port()
        address = f"[v2:127.0.0.1:{v2}/0,v1:127.0.0.1:{v1}/0]"
        fsid, osd = "6d3c1e2a-0b1f-4a6e-9c57-000000000001", "6d3c1e2a-0b1f-4a6e-9c57-00000000000a"
        here = self.folder
        for folder in ("mon", "osd", "rgw"):
            (here / folder).mkdir()
        # One of each daemon, objects in memory, and no care for how full the machine's disk is.
        (here / "ceph.conf").write_text(f"""
[global]
fsid = {fsid}
mon_host = {address}
public_addr = 127.0.0.1
cluster_addr = 127.0.0.1
keyring = {here}/keyring
osd_pool_default_size = 1
osd_pool_default_min_size = 1
osd_pool_default_pg_num = 8
osd_pool_default_pg_autoscale_mode = off
mon_allow_pool_size_one = true
mon_max_pg_per_osd = 1000
mon_data_avail_crit = 0
mon_data_avail_warn = 0
osd_crush_chooseleaf_type = 0
osd_objectstore = memstore
memstore_device_bytes = 4294967296
mon_data = {here}/mon
osd_data = {here}/osd
rgw_data = {here}/rgw
run_dir = {here}
admin_socket = {here}/$name.$pid.asok
log_file = {here}/$name.log
rgw_s3_auth_use_sts = false
""")
        conf = ["-c", here / "ceph.conf"]
        keys = ["ceph-authtool", here / "keyring"]
        self.call(*keys, "--create-keyring", "--gen-key", "-n", "mon.", "--cap", "mon", "allow *")
        for name in ("client.admin", "osd.0"):
            self.call(*keys, "--gen-key", "-n", name, "--cap", "mon", "allow *", "--cap", "osd", "allow *", "--cap", "mgr", "allow *")
        self.call("monmaptool", "--create", "--fsid", fsid, "--addv", "a", address, here / "monmap")
        self.call("ceph-mon", "--mkfs", "-i", "a", "--monmap", here / "monmap", "--keyring", here / "keyring", *conf)
        self.run("ceph-mon", "-f", "-i", "a", *conf)
        self.wait_for(lambda: self.call("ceph", *conf, "--connect-timeout", "5", "osd", "new", osd))
        self.call("ceph-osd", "--mkfs", "-i", "0", "--osd-uuid", osd, *conf)
        self.run("ceph-osd", "-f", "-i", "0", *conf)
        self.run("radosgw", "-f", "-n", "client.admin", *conf, "--rgw-frontends", f"beast endpoint=127.0.0.1:{self.port}")
        self.wait_for(lambda: urllib.request.urlopen(self.endpoint, timeout=5))
        self.call("radosgw-admin", *conf, "user", "create", "--uid", "matrix", "--display-name", "matrix",
                  "--access-key", KEY, "--secret-key", SECRET)


class Rclone(Server):
    name = "rclone 1.75"

    def start(self):
        (self.folder / "data").mkdir()
        self.run("rclone", "serve", "s3", "--addr", f"127.0.0.1:{self.port}", "--auth-key", f"{KEY},{SECRET}", "data")


class Moto(Server):
    name = "moto 5.2, signed"

    def start(self):
        # The first calls need no signature: they make the user whose key signs from then on.
        self.run("moto_server", "-H", "127.0.0.1", "-p", str(self.port), INITIAL_NO_AUTH_ACTION_COUNT="3")
        iam = boto3.client("iam", endpoint_url=self.endpoint, region_name="us-east-1", aws_access_key_id="any",
                           aws_secret_access_key="any", config=botocore.config.Config(retries={"total_max_attempts": 1}))
        deadline = time.monotonic() + 60
        while True:
            try:
                urllib.request.urlopen(f"{self.endpoint}/moto-api/", timeout=5)
                break
            except urllib.error.HTTPError:
                break
            except OSError:
                if time.monotonic() > deadline:
                    raise
                time.sleep(0.5)
        policy = {"Version": "2012-10-17", "Statement": [{"Effect": "Allow", "Action": "*", "Resource": "*"}]}
        iam.create_user(UserName="matrix")
        iam.put_user_policy(UserName="matrix", PolicyName="all", PolicyDocument=json.dumps(policy))
        given = iam.create_access_key(UserName="matrix")["AccessKey"]
        self.key, self.secret = given["AccessKeyId"], given["SecretAccessKey"]


class S3sFs(Server):
    name = "s3s-fs 0.14.1"

    def start(self):
        (self.folder / "data").mkdir()
        self.run("s3s-fs", "--host", "127.0.0.1", "--port", self.port, "--access-key", KEY, "--secret-key", SECRET, "data")


ALL = [Garage, SeaweedFs, CephRgw, Rclone, Moto, S3sFs]


def free_port():
    with socket.socket() as taken:
        taken.bind(("127.0.0.1", 0))
        return taken.getsockname()[1]
