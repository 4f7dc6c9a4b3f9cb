"""Servers that a gateway may take for a vLLM."""

import json
import threading
from collections.abc import Callable, Iterator
from contextlib import contextmanager, suppress
from http import HTTPStatus
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from typing import Any

MODELS = {"data": [{"id": "m", "root": "m", "max_model_len": 64}]}


class Stranger(ThreadingHTTPServer):
    """Answers each path as `answers` say, with `status`, as soon as it `may_answer`; an iterator is
    sent until it ends or the one that asked is gone.

    Whatever is to be computed is noted in `asked`. It gets `stream` if there is one and it asks for
    it, or else what `computed` says of it, which repeats it in an error.
    """

    def __init__(self) -> None:
        super().__init__(("127.0.0.1", 0), _Handler)
        self.status = HTTPStatus.OK
        self.answers: dict[str, Any] = {}
        self.stream = b""
        self.asked: list[Any] = []
        self.computed: Callable[[Any], tuple[HTTPStatus, Any]] = _cannot_compute
        self.was_asked, self.may_answer = threading.Event(), threading.Event()
        self.may_answer.set()
        self.url = f"http://127.0.0.1:{self.server_port}"


class _Handler(BaseHTTPRequestHandler):
    server: Stranger

    def do_GET(self) -> None:
        self.server.was_asked.set()
        self.server.may_answer.wait()
        self._answer(self.server.status, self.server.answers.get(self.path, {}))

    def do_POST(self) -> None:
        asked = json.loads(self.rfile.read(int(self.headers["Content-Length"])))
        self.server.asked.append(asked)
        if self.server.stream and asked.get("stream"):
            self.send_response(HTTPStatus.OK)
            self.send_header("Content-Type", "text/event-stream")
            self.end_headers()
            self.wfile.write(self.server.stream)
            return
        self._answer(*self.server.computed(asked))

    def _answer(self, status: HTTPStatus, content: Any) -> None:
        self.send_response(status)
        with suppress(ConnectionError):  # the one that asked may be gone
            if isinstance(content, Iterator):
                self.end_headers()
                for part in content:
                    self.wfile.write(part)
                return
            body = content if isinstance(content, bytes) else json.dumps(content).encode()
            self.send_header("Content-Length", str(len(body)))
            self.end_headers()
            self.wfile.write(body)

    def log_message(self, format: str, *values: object) -> None:
        """Say nothing."""


def _cannot_compute(asked: Any) -> tuple[HTTPStatus, Any]:
    error = {"message": f"cannot compute {json.dumps(asked)}"}
    return HTTPStatus.INTERNAL_SERVER_ERROR, {"error": error}


@contextmanager
def running() -> Iterator[Stranger]:
    with Stranger() as server:
        thread = threading.Thread(target=server.serve_forever, kwargs={"poll_interval": 0.01})
        thread.start()
        try:
            yield server
        finally:
            server.may_answer.set()
            server.shutdown()
            thread.join()


def events(*chunks: Any) -> bytes:
    lines = [chunk if isinstance(chunk, str) else json.dumps(chunk) for chunk in chunks]
    return "".join(f"data: {line}\n\n" for line in lines).encode()
