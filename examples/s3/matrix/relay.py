"""A relay between a client and an S3 server: flips a byte of a body, or holds a body up."""

import re
import socket
import threading


class Relay:
    """Runs inside a `with` block. `flip` and `hold` are patterns for the request's first line; each serves once."""

    def __init__(self, server_port, flip=None, hold=None):
        self.server_port, self.flip, self.hold = server_port, flip, hold
        self.flipped, self.held, self.free = threading.Event(), threading.Event(), threading.Event()
        self.sockets, self.lock = [], threading.Lock()

    def __enter__(self):
        self.listener = socket.create_server(("127.0.0.1", 0))
        self.sockets.append(self.listener)
        threading.Thread(target=self.accept, daemon=True).start()
        return self

    def __exit__(self, *_):
        self.free.set()
        for open_socket in self.sockets:
            try:
                open_socket.shutdown(socket.SHUT_RDWR)
            except OSError:
                pass
            open_socket.close()

    @property
    def endpoint(self):
        return f"http://127.0.0.1:{self.listener.getsockname()[1]}"

    def accept(self):
        while True:
            try:
                client, _ = self.listener.accept()
                server = socket.create_connection(("127.0.0.1", self.server_port))
            except OSError:
                return
            self.sockets += [client, server]
            for work in (self.requests, self.answers):
                threading.Thread(target=self.quietly, args=(work, client, server), daemon=True).start()

    @staticmethod
    def quietly(work, client, server):
        try:
            work(client, server)
        except OSError:
            pass
        for end in (client, server):
            try:
                end.shutdown(socket.SHUT_RDWR)
            except OSError:
                pass

    @staticmethod
    def answers(client, server):
        while piece := server.recv(1 << 16):
            client.sendall(piece)

    def requests(self, client, server):
        reader = client.makefile("rb")
        while line := reader.readline():
            head, length = [line], 0
            while (header := reader.readline()) not in (b"\r\n", b""):
                head.append(header)
                name, _, value = header.partition(b":")
                length = int(value) if name.lower() == b"content-length" else length
            server.sendall(b"".join(head) + b"\r\n")
            first = line.decode("latin-1")
            flip = length and self.takes(first, "flip", self.flipped)
            if length and self.takes(first, "hold", self.held):
                self.free.wait()
            middle = length // 2
            while length:
                piece = bytearray(reader.read1(min(length, 1 << 16)))
                if not piece:
                    return
                length -= len(piece)
                if flip and length <= middle:
                    piece[-1] ^= 1
                    flip = False
                server.sendall(piece)

    def takes(self, first, pattern, done):
        with self.lock:
            wanted = getattr(self, pattern)
            if not wanted or done.is_set() or not re.match(wanted, first):
                return False
            done.set()
            return True
