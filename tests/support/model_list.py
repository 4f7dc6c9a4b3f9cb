"""A server that lists models as vLLM does, and takes what it is tried with."""

import json
import threading
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer


class ModelList(ThreadingHTTPServer):
    """It runs `models`, for as long as the block that it is entered with. `keys` are those that it
    was asked with."""

    def __init__(self, models: Sequence[str], port: int = 0) -> None:
        super().__init__(("127.0.0.1", port), _Handler)
        self.models = models
        self.keys: list[str | None] = []

    @property
    def url(self) -> str:
        return f"http://127.0.0.1:{self.server_port}"


@contextmanager
def listing(*models: str, port: int = 0) -> Iterator[ModelList]:
    """A server that runs these, on a free port by default."""
    with ModelList(models, port) as server:
        thread = threading.Thread(target=server.serve_forever, kwargs={"poll_interval": 0.01})
        thread.start()
        try:
            yield server
        finally:
            server.shutdown()
            thread.join()


class _Handler(BaseHTTPRequestHandler):
    server: ModelList

    def do_GET(self) -> None:
        self.server.keys.append(self.headers.get("Authorization"))
        models = [{"id": name, "max_model_len": 2048, "root": name} for name in self.server.models]
        self._answer({"data": models} if self.path == "/v1/models" else {})

    def do_POST(self) -> None:
        self.rfile.read(int(self.headers["Content-Length"]))
        self._answer({"choices": []})

    def _answer(self, content: object) -> None:
        body = json.dumps(content).encode()
        self.send_response(200)
        self.send_header("Content-Length", str(len(body)))
        self.end_headers()
        self.wfile.write(body)

    def log_message(self, format: str, *values: object) -> None:
        """Say nothing."""
