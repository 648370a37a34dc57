"""Exports of any size, made of one block of events over and over, and a server for them. amp-sandbox's events are all different, and so slow to make."""

import base64
import gzip
import http.server
import json
import random
import threading
import urllib.parse
import zipfile

KEY, SECRET = "bench-api-key", "bench-secret-key"


def block(events):
    """So many events as newline-JSON. They pack to about a twentieth."""
    chance = random.Random(1)
    lines = []
    for number in range(events):
        lines.append(json.dumps({
            "$insert_id": f"{chance.getrandbits(64):016x}", "amplitude_id": chance.randrange(10**5), "app": 100011471, "city": "Utrecht",
            "client_event_time": f"2025-11-06 10:{number // 60 % 60:02}:{number % 60:02}.000000", "country": "Netherlands",
            "device_family": "Mac OS X", "event_id": number, "event_type": chance.choice(["page viewed", "button pressed", "search", "order"]),
            "event_properties": {"path": f"/products/{chance.randrange(1000)}", "referrer": "https://www.example.com/", "experiment": "control"},
            "language": "Dutch", "library": "amplitude-ts/2.11.1", "os_name": "Chrome", "os_version": "142", "platform": "Web",
            "region": "Utrecht", "user_properties": {"plan": "free", "newsletter": True, "visits": chance.randrange(100)}, "version_name": None,
        }))
    return ("\n".join(lines) + "\n").encode()


def write(path, date, members, size):
    """An archive of so many members, each of whole blocks of together about `size` bytes of JSON; gives the bytes of JSON of them all."""
    events = block(max(1, min(size // 600, 1600)))
    packed, times = gzip.compress(events, 6), max(1, size // len(events))
    with zipfile.ZipFile(path, "w") as archive:
        for number in range(members):
            # A gzip file may consist of several, one behind the other.
            with archive.open(f"100011471/100011471_{date}_{number % 24}#{number // 24}.json.gz", "w") as member:
                for _ in range(times):
                    member.write(packed)
    return members * times * len(events)


class Exports:
    """The Export API as far as a download needs it; `archive(date)` gives the path of what is sent for a day."""

    def __init__(self, archive):
        expected = "Basic " + base64.b64encode(f"{KEY}:{SECRET}".encode()).decode()

        class Handler(http.server.BaseHTTPRequestHandler):
            protocol_version = "HTTP/1.1"

            def do_GET(self):
                start = urllib.parse.parse_qs(urllib.parse.urlsplit(self.path).query)["start"][0]
                assert self.headers["Authorization"] == expected
                with open(archive(f"{start[:4]}-{start[4:6]}-{start[6:8]}"), "rb") as file:
                    self.send_response(200)
                    self.send_header("Content-Type", "application/zip")
                    self.send_header("Content-Length", str(file.seek(0, 2)))
                    self.end_headers()
                    self.connection.sendfile(file, 0)

            def log_message(self, *_):
                pass

        self.server = http.server.ThreadingHTTPServer(("127.0.0.1", 0), Handler)
        self.settings = {"AMP_API_KEY": KEY, "AMP_SECRET_KEY": SECRET, "AMP_BASE_URL": f"http://127.0.0.1:{self.server.server_port}"}

    def __enter__(self):
        threading.Thread(target=self.server.serve_forever, daemon=True).start()
        return self

    def __exit__(self, *_):
        self.server.shutdown()
        self.server.server_close()
