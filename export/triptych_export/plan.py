"""A strongly typed ONNX graph to a TensorRT plan.

Precision is what the graph says: TensorRT 11 has no other way, and TensorRT 10 is told to obey. A
plan runs on the TensorRT and the kind of GPU that built it, so it is built in the image that will
serve it.
"""

import importlib
import os
import shutil
import subprocess
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Protocol

from triptych_export.errors import PlanError
from triptych_export.profiles import Profile, written

# Where NVIDIA's images have `trtexec`, off the PATH.
TRTEXEC_DIRECTORY = "/usr/src/tensorrt/bin"
WORKSPACE = 4 << 30  # bytes that a plan may use beside its weights and activations
_LAST_LINES = 12  # of a failing trtexec; what went wrong stands at the end


class PlanBuilder(Protocol):
    """A way to TensorRT; its name is for people."""

    @property
    def name(self) -> str:
        """Which TensorRT, as far as it is known."""
        ...

    def build(self, graph: Path, plan: Path, profiles: Sequence[Profile]) -> None:
        """Write the plan of `graph`. Raises `PlanError`."""
        ...


def find_builder() -> PlanBuilder | None:
    """The `tensorrt` package, else `trtexec`; None where neither can be used."""
    try:
        return PythonBuilder(importlib.import_module("tensorrt"))
    except ImportError:  # also raised by a package without its runtime libraries
        places = (os.environ.get("PATH", os.defpath), TRTEXEC_DIRECTORY)
        command = shutil.which("trtexec", path=os.pathsep.join(places))
        return None if command is None else Trtexec(command)


def timing_cache() -> Path:
    """Where TensorRT remembers how fast operators were, so that the next build is short.

    Raises `PlanError` where no such place can be made.
    """
    root = Path(os.environ.get("XDG_CACHE_HOME") or Path.home() / ".cache")
    cache = root / "triptych" / "tensorrt.timing"
    try:
        cache.parent.mkdir(parents=True, exist_ok=True)
    except OSError as error:
        raise PlanError(
            f"{cache.parent}: cannot be made: {error.strerror}; XDG_CACHE_HOME names another place"
        ) from error
    return cache


@dataclass(frozen=True, slots=True)
class Trtexec:
    """TensorRT's command line."""

    command: str

    @property
    def name(self) -> str:
        """Where it lies."""
        return self.command

    def build(self, graph: Path, plan: Path, profiles: Sequence[Profile]) -> None:
        """Run it, and tell the end of what it printed if it fails."""
        arguments = self.arguments(graph, plan, profiles)
        try:
            result = subprocess.run(
                arguments, stdout=subprocess.PIPE, stderr=subprocess.STDOUT, check=False
            )
        except OSError as error:
            raise PlanError(f"{self.command} cannot be run: {error.strerror}") from error
        if result.returncode == 0 and plan.is_file():
            return
        lines = result.stdout.decode(errors="replace").strip().splitlines()
        told = [line for line in lines if "[E]" in line] or lines
        what = f"status {result.returncode}" if result.returncode else "no plan written"
        raise PlanError("\n".join([f"trtexec failed ({what}):", *told[-_LAST_LINES:]]))

    def arguments(self, graph: Path, plan: Path, profiles: Sequence[Profile]) -> list[str]:
        """The whole command; TensorRT 11 takes `--stronglyTyped` for granted."""
        shapes = [
            argument
            for number, profile in enumerate(profiles)
            for argument in (
                f"--profile={number}",
                f"--minShapes={written(profile.least)}",
                f"--optShapes={written(profile.preferred)}",
                f"--maxShapes={written(profile.greatest)}",
            )
        ]
        return [
            self.command,
            f"--onnx={graph}",
            f"--saveEngine={plan}",
            "--stronglyTyped",
            "--noTF32",  # what stays fp32 was compared as fp32
            *shapes,
            f"--memPoolSize=workspace:{WORKSPACE >> 20}",  # in MiB
            f"--timingCacheFile={timing_cache()}",
            "--skipInference",
        ]


class PythonBuilder:
    """TensorRT's Python package, version 10 or 11."""

    def __init__(self, tensorrt: Any) -> None:
        self._trt = tensorrt

    @property
    def name(self) -> str:
        """Its version."""
        return f"TensorRT {self._trt.__version__}"

    def build(self, graph: Path, plan: Path, profiles: Sequence[Profile]) -> None:
        """Parse and build; errors of the parser name the node."""
        trt = self._trt
        log = _log(trt)
        try:
            builder = trt.Builder(log)
        except TypeError as error:  # it has none without a GPU
            raise PlanError(f"TensorRT cannot start: {'; '.join(log.errors) or error}") from error
        typed = getattr(trt.NetworkDefinitionCreationFlag, "STRONGLY_TYPED", None)
        network = builder.create_network(0 if typed is None else 1 << int(typed))
        parser = trt.OnnxParser(network, log)
        if not parser.parse_from_file(str(graph)):
            errors = [parser.get_error(index) for index in range(parser.num_errors)]
            told = "; ".join(
                f"{error.node_name()} ({error.node_operator()}): {error.desc()}" for error in errors
            )
            raise PlanError(f"TensorRT cannot parse the graph: {told}")
        cache = timing_cache()
        config = self._config(builder, profiles, cache)
        built = builder.build_serialized_network(network, config)
        if built is None:
            raise PlanError(f"TensorRT cannot build the plan: {'; '.join(log.errors)}")
        plan.write_bytes(built)
        cache.write_bytes(config.get_timing_cache().serialize())

    def _config(self, builder: Any, profiles: Sequence[Profile], cache: Path) -> Any:
        trt = self._trt
        config = builder.create_builder_config()
        config.set_memory_pool_limit(trt.MemoryPoolType.WORKSPACE, WORKSPACE)
        config.clear_flag(trt.BuilderFlag.TF32)  # what stays fp32 was compared as fp32
        for content in (cache.read_bytes() if cache.is_file() else b"", b""):
            timings = config.create_timing_cache(content)
            # What another version or another GPU left behind is refused.
            if timings is not None and config.set_timing_cache(timings, ignore_mismatch=False):
                break
        for shapes in profiles:
            profile = builder.create_optimization_profile()
            for name, least in shapes.least.items():
                profile.set_shape(name, least, shapes.preferred[name], shapes.greatest[name])
            config.add_optimization_profile(profile)
        return config


def _log(trt: Any) -> Any:
    """A logger that keeps the errors."""

    class Log(trt.ILogger):  # type: ignore[misc]  # known at run time only
        def __init__(self) -> None:
            trt.ILogger.__init__(self)
            self.errors: list[str] = []

        def log(self, severity: Any, message: str) -> None:
            if severity in (trt.ILogger.Severity.ERROR, trt.ILogger.Severity.INTERNAL_ERROR):
                self.errors.append(message)

    return Log()
