"""The Triptych gateway: gRPC services over encoder engines and collections."""

import os

# Unless this is set when it is loaded, ONNX Runtime tells its makers of every model that it opens.
os.environ.setdefault("ORT_DISABLE_TELEMETRY", "1")
