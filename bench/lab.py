"""What the benchmarks share: tools, local servers, and a run measured from outside."""

import http.client
import os
import pathlib
import shutil
import signal
import socket
import statistics
import subprocess
import sys
import time
import urllib.parse

REPO = pathlib.Path(__file__).resolve().parent.parent
TARGET = pathlib.Path(os.environ.get("CARGO_TARGET_DIR", REPO / "target")).resolve()
VENV = TARGET / "bench-venv"
DATE = "2025-11-06"
BUCKET = "bench"
KEY, SECRET = "benchaccesskey", "benchsecretkey"
profile = "release"


def say(text):
    print(text, flush=True)


def build(debug=False):
    """The programs, with optimisation unless `debug`."""
    global profile
    profile = "debug" if debug else "release"
    packages = [word for name in ("amp-extract", "amp-load", "amp-sandbox") for word in ("-p", name)]
    how = [] if debug else ["--release"]
    subprocess.run(["cargo", "build", *how, "--locked", "--quiet", *packages], cwd=REPO, check=True)


def program(name):
    """A program as `build` left it."""
    return TARGET / profile / name


def fresh(directory):
    """The directory, empty."""
    shutil.rmtree(directory, ignore_errors=True)
    directory.mkdir(parents=True)
    return directory


def tools(debian, pypi):
    """Installs what is missing: Debian packages where we are root, Python packages in a place of their own."""
    missing = [package for command, package in debian.items() if not shutil.which(command)]
    if missing and os.geteuid() == 0 and shutil.which("apt-get"):
        quiet = {"stdout": subprocess.DEVNULL, "stderr": subprocess.DEVNULL}
        subprocess.run(["apt-get", "update"], **quiet)
        for package in missing:
            subprocess.run(["apt-get", "install", "-y", "--no-install-recommends", package], **quiet)
    for package in pypi:
        if not (VENV / "bin" / "pip").exists() and subprocess.run([sys.executable, "-m", "venv", VENV]).returncode:
            say(f"left out, Python has no venv: {', '.join(pypi)}")
            break
        # One at a time: what is missing takes nothing else with it.
        if subprocess.run([VENV / "bin" / "pip", "install", "--quiet", "--disable-pip-version-check", package]).returncode:
            say(f"cannot be had from PyPI: {package}")
    os.environ["PATH"] = f"{VENV / 'bin'}:{os.environ['PATH']}"


class Server:
    """A process that serves until the end of the `with` block."""

    def __init__(self, argv, cwd, env=None):
        self.log = open(pathlib.Path(cwd) / "server.log", "ab")
        self.process = subprocess.Popen(
            [str(word) for word in argv], cwd=cwd, env={**os.environ, **(env or {})},
            stdout=subprocess.PIPE, stderr=self.log, text=True, start_new_session=True)

    def __enter__(self):
        return self

    def __exit__(self, *_):
        os.killpg(self.process.pid, signal.SIGKILL)
        self.process.wait()
        self.log.close()


def sandbox(cwd, *args):
    """amp-sandbox's two servers, and the settings it prints for them."""
    server = Server([program("amp-sandbox"), "serve", *args], cwd)
    settings = {}
    for line in server.process.stdout:
        name, value = line.strip().split("=", 1)
        settings[name] = value
        if name == "AWS_ENDPOINT_URL_S3":
            break
    server.settings = settings
    return server


def seaweedfs(cwd):
    """SeaweedFS, an S3 server that is not ours, with the bucket made."""
    shutil.rmtree(cwd, ignore_errors=True)
    os.makedirs(cwd)
    ports = {name: free_port() for name in ("s3", "master", "volume", "filer")}
    argv = ["weed", "mini", "-ip=127.0.0.1", "-ip.bind=127.0.0.1", "-dir=.", f"-bucket={BUCKET}", "-admin.ui=false", "-webdav=false",
            *(f"-{name}.port={port}" for name, port in ports.items())]
    server = Server(argv, cwd, {"AWS_ACCESS_KEY_ID": KEY, "AWS_SECRET_ACCESS_KEY": SECRET})
    endpoint = f"http://127.0.0.1:{ports['s3']}"
    server.settings = {"AWS_BUCKET_NAME": BUCKET, "AWS_ACCESS_KEY": KEY, "AWS_SECRET_KEY": SECRET, "AWS_REGION": "us-east-1",
                       "AWS_ENDPOINT_URL_S3": endpoint}
    wait_for_put(server, cwd)
    return server


def wait_for_put(server, cwd):
    """Until an object can be stored: the port listens long before there is a volume for it."""
    probe = pathlib.Path(cwd) / "probe"
    probe.write_bytes(b"probe")
    deadline = time.monotonic() + 60
    while time.monotonic() < deadline:
        argv = ["s5cmd", "--endpoint-url", server.settings["AWS_ENDPOINT_URL_S3"], "cp", probe, f"s3://{BUCKET}/probe"]
        if subprocess.run(argv, env=aws(server.settings), capture_output=True).returncode == 0:
            return
        time.sleep(0.3)
    raise SystemExit(f"SeaweedFS does not answer; see {cwd}/server.log")


def aws(settings):
    """The environment in which the usual AWS tools find the server."""
    names = {"AWS_ACCESS_KEY": "AWS_ACCESS_KEY_ID", "AWS_SECRET_KEY": "AWS_SECRET_ACCESS_KEY"}
    environment = {**os.environ, **{names.get(name, name): value for name, value in settings.items()}}
    # For TLS, which nothing here uses; rclone does not start with one.
    environment.pop("AWS_CA_BUNDLE", None)
    return environment


def free_port():
    with socket.socket() as taken:
        taken.bind(("127.0.0.1", 0))
        return taken.getsockname()[1]


def fetch(settings, path):
    """One export by hand, into a file; the first makes the server generate the day."""
    url = urllib.parse.urlsplit(settings["AMP_BASE_URL"])
    import base64
    basic = base64.b64encode(f"{settings['AMP_API_KEY']}:{settings['AMP_SECRET_KEY']}".encode()).decode()
    connection = http.client.HTTPConnection(url.hostname, url.port, timeout=600)
    compact = DATE.replace("-", "")
    connection.request("GET", f"/api/2/export?start={compact}T00&end={compact}T23", headers={"Authorization": f"Basic {basic}"})
    with connection.getresponse() as response, open(path, "wb") as file:
        assert response.status == 200, response.status
        shutil.copyfileobj(response, file, 1 << 20)
    connection.close()


class Run:
    """What a command took: wall and CPU seconds of it and all it started, peak memory in MiB of its largest process."""

    def __init__(self, argv, cwd, env=None):
        # What an earlier run left unwritten must not burden this one.
        os.sync()
        log = pathlib.Path(cwd) / "run.log"
        peak = pathlib.Path(cwd) / "run.peak"
        # By way of `time`: the kernel counts what a process's parent held when it was started, and we hold more than some.
        has_time = shutil.which("time")
        argv = ["time", "-q", "-f", "%M", "-o", peak, *argv] if has_time else argv
        with open(log, "wb") as out:
            began = time.perf_counter()
            process = subprocess.Popen([str(word) for word in argv], cwd=cwd, env=env or os.environ,
                                       stdin=subprocess.DEVNULL, stdout=out, stderr=out)
            _, status, used = os.wait4(process.pid, 0)
            self.wall = time.perf_counter() - began
        process.returncode = os.waitstatus_to_exitcode(status)
        if process.returncode:
            raise SystemExit(f"{argv} ended with {process.returncode}:\n{log.read_text(errors='replace')[-3000:]}")
        self.cpu = used.ru_utime + used.ru_stime
        # Without it, what we held stands for what is less.
        self.peak = (int(peak.read_text()) if has_time else used.ru_maxrss) / 1024


def median(values):
    return statistics.median(values)


def machine():
    """The machine, in a line."""
    with open("/proc/cpuinfo") as info:
        model = next((line.split(":", 1)[1].strip() for line in info if line.startswith("model name")), "unknown CPU")
    memory = os.sysconf("SC_PAGE_SIZE") * os.sysconf("SC_PHYS_PAGES") / 2**30
    return f"{os.cpu_count()} cores of {model}, {memory:.0f} GiB, Linux {os.uname().release}"
