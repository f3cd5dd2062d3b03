"""A local S3 server for tests, started by moto, and a door to it that closes in the middle of an answer."""

from __future__ import annotations

import contextlib
import logging
import socket
import threading
from collections.abc import Iterator
from typing import Any

from moto.server import ThreadedMotoServer
from pyarrow.fs import S3FileSystem

BUCKET = "rows"
CREDENTIALS = {"AWS_ACCESS_KEY_ID": "a-key-of-tests", "AWS_SECRET_ACCESS_KEY": "a-secret-of-tests"}
ENVIRONMENT = {**CREDENTIALS, "AWS_EC2_METADATA_DISABLED": "true", "AWS_DEFAULT_REGION": "us-east-1"}


class S3:
    """A running server.

    Args:
        port: Where it listens, on this machine.
    """

    def __init__(self, port: int) -> None:
        self.port = port
        self.filesystem = S3FileSystem(
            access_key="a-key-of-tests",
            secret_key="a-secret-of-tests",
            endpoint_override=f"127.0.0.1:{port}",
            scheme="http",
            region="us-east-1",
            allow_bucket_creation=True,
            background_writes=False,
        )
        self.filesystem.create_dir(BUCKET)

    def url(self, path: str, port: int | None = None, bucket: str = BUCKET, user: str = "") -> str:
        """Writes the URL of a file or a folder."""
        options = f"endpoint_override=127.0.0.1:{port or self.port}&scheme=http&region=us-east-1"
        return f"s3://{user}{bucket}/{path}?{options}"

    def put(self, path: str, content: bytes) -> str:
        """Puts a file there, and returns its URL."""
        with self.filesystem.open_output_stream(f"{BUCKET}/{path}", compression=None) as stream:
            stream.write(content)
        return self.url(path)


@contextlib.contextmanager
def s3_server() -> Iterator[S3]:
    """Starts a server with an empty bucket, and stops it."""
    logging.getLogger("werkzeug").setLevel(logging.ERROR)
    server = ThreadedMotoServer(ip_address="127.0.0.1", port=0, verbose=False)
    server.start()
    try:
        yield S3(server.get_host_and_port()[1])
    finally:
        server.stop()


class Door:
    """A way to a server that lets some bytes of answers through, and then none: it closes in the middle of them.

    Args:
        port: Where the server listens.

    Attributes:
        port: Where this listens.
        left: Bytes of answers that pass; None for all.
    """

    def __init__(self, port: int) -> None:
        self._to, self.left = port, None
        self._lock = threading.Lock()
        self._listener = socket.create_server(("127.0.0.1", 0))
        self.port = self._listener.getsockname()[1]
        threading.Thread(target=self._listen, daemon=True).start()

    left: int | None

    def close(self) -> None:
        """Lets nobody in any more."""
        self._listener.close()

    def _listen(self) -> None:
        with contextlib.suppress(OSError):
            while True:
                client, _ = self._listener.accept()
                server = socket.create_connection(("127.0.0.1", self._to))
                threading.Thread(target=self._pass, args=(client, server, False), daemon=True).start()
                threading.Thread(target=self._pass, args=(server, client, True), daemon=True).start()

    def _pass(self, one: Any, other: Any, is_answer: bool) -> None:
        with contextlib.suppress(OSError), one, other:
            while data := one.recv(65536):
                if is_answer and not self._let_through(len(data)):
                    for end in (one, other):
                        end.shutdown(socket.SHUT_RDWR)
                    return
                other.sendall(data)
            other.shutdown(socket.SHUT_WR)

    def _let_through(self, number: int) -> bool:
        with self._lock:
            if self.left is None:
                return True
            self.left -= number
            return self.left >= 0
