"""The GPUs of this machine, and whether ONNX Runtime can use them."""

import shutil
import subprocess
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path

from triptych_server.doctor.finding import Finding
from triptych_server.doctor.installation import installed

AREA = "gpu"
CUDA = "CUDAExecutionProvider"
_FIELDS = "name,memory.total,memory.used,driver_version"
_SMI_TIMEOUT_S = 10.0  # the first call after a reboot loads the driver
_NETWORKS = Path(__file__).parents[1] / "model_repository"


@dataclass(frozen=True, slots=True)
class Gpu:
    """A GPU as nvidia-smi tells: memory in MiB, `used` included in `total`."""

    name: str
    total: int
    used: int
    driver: str


@dataclass(frozen=True, slots=True)
class Providers:
    """Whether onnxruntime-gpu is installed, and whether a network runs on its CUDA provider."""

    gpu_build: bool
    usable: bool


def examine_gpu(*, in_process: bool) -> Iterator[Finding]:
    """The GPUs; and where encoders would be computed, if they are to be `in_process`. That loads
    one small network if onnxruntime-gpu is installed."""
    try:
        gpus = read_gpus()
        yield from found(gpus)
    except OSError as error:
        gpus = []
        yield Finding.problem(AREA, "nvidia-smi", str(error), "sudo modprobe nvidia && nvidia-smi")
    if in_process:
        build = installed("onnxruntime-gpu") is not None
        yield providers(gpus, Providers(build, build and _cuda_runs()))


def read_gpus() -> list[Gpu]:
    """The GPUs; empty without nvidia-smi. Raises `OSError` with its words when it fails."""
    if shutil.which("nvidia-smi") is None:
        return []
    command = ["nvidia-smi", f"--query-gpu={_FIELDS}", "--format=csv,noheader,nounits"]
    try:
        ran = subprocess.run(command, capture_output=True, text=True, timeout=_SMI_TIMEOUT_S)
    except subprocess.TimeoutExpired:
        raise OSError(f"nvidia-smi did not answer within {_SMI_TIMEOUT_S:g} s") from None
    if ran.returncode:
        raise OSError((ran.stderr or ran.stdout).strip())
    return list(parse(ran.stdout))


def parse(table: str) -> Iterator[Gpu]:
    """Lines of nvidia-smi's CSV; memory that it does not tell (`[N/A]`) counts as 0."""
    for line in table.splitlines():
        name, total, used, driver = (cell.strip() for cell in line.split(","))
        yield Gpu(name, _number(total), _number(used), driver)


def found(gpus: Sequence[Gpu]) -> Iterator[Finding]:
    """One finding a GPU."""
    for number, gpu in enumerate(gpus):
        memory = f"{gpu.used} of {gpu.total} MiB used" if gpu.total else "memory shared or unknown"
        yield Finding.ok(AREA, str(number), f"{gpu.name}, {memory}, driver {gpu.driver}")
    if not gpus:
        yield Finding.ok(AREA, "nvidia-smi", "no GPU")


def providers(gpus: Sequence[Gpu], onnx: Providers) -> Finding:
    """Whether the in-process engine computes where it should."""
    what = "onnxruntime"
    if onnx.usable:
        return Finding.ok(AREA, what, "computes on the GPU")
    if onnx.gpu_build and gpus:
        return Finding.problem(
            AREA,
            what,
            "onnxruntime-gpu cannot load its CUDA provider, and computes on the CPU",
            "ldd $(python -c 'import onnxruntime as o; print(o.__path__[0])')"
            "/capi/libonnxruntime_providers_cuda.so | grep 'not found'",
        )
    if onnx.gpu_build:
        return Finding.warning(
            AREA,
            what,
            "onnxruntime-gpu is installed, but there is no GPU",
            "pip uninstall -y onnxruntime-gpu faiss-gpu && pip install 'triptych[server]'",
        )
    if gpus:
        return Finding.warning(
            AREA,
            what,
            "computes on the CPU in process, and leaves the GPU idle",
            "pip uninstall -y onnxruntime faiss-cpu && pip install 'triptych[server-gpu]'",
        )
    return Finding.ok(AREA, what, "computes on the CPU")


def _number(cell: str) -> int:
    return int(cell) if cell.isdecimal() else 0


def _cuda_runs() -> bool:
    """ONNX Runtime lists a provider that it cannot load, and goes on without: so try."""
    import onnxruntime

    if CUDA not in onnxruntime.get_available_providers():
        return False
    network = min(_NETWORKS.glob("*/1/model.onnx"), key=lambda path: path.stat().st_size)
    session = onnxruntime.InferenceSession(network, providers=[CUDA, "CPUExecutionProvider"])
    return CUDA in session.get_providers()
