"""Virtual environments, in build/engines, of what tests and benchmarks run beside the project."""

import fcntl
import subprocess
import sys
from pathlib import Path

HERE = Path(__file__).parent
ENGINES = HERE.parents[1] / "build/engines"


def install(venv: Path, requirements: Path) -> None:
    """Create a virtual environment, unless it is there with these versions; without dependencies.

    Processes that want the same one wait for each other.
    """
    venv.parent.mkdir(parents=True, exist_ok=True)
    stamp = venv / ".installed"
    wanted = requirements.read_text()
    with (venv.parent / f".{venv.name}.lock").open("w") as lock:
        fcntl.flock(lock, fcntl.LOCK_EX)
        if stamp.is_file() and stamp.read_text() == wanted:
            return
        subprocess.run([sys.executable, "-m", "venv", "--clear", venv], check=True)
        pip = [str(venv / "bin/python"), "-m", "pip", "--quiet", "--disable-pip-version-check"]
        pip += ["install", "--no-deps", "--requirement", str(requirements)]
        subprocess.run(pip, check=True)
        stamp.write_text(wanted)
