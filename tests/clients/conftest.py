"""A real gateway with the shipped models, and a few pictures to send it."""

import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

import pytest
from PIL import Image, ImageDraw

REPOSITORY = Path(__file__).parents[2] / "model_repository"
COLOURS = ("red", "green", "blue", "yellow", "purple", "orange", "pink", "cyan")


@pytest.fixture(scope="session")
def gateway(tmp_path_factory: pytest.TempPathFactory) -> Iterator[str]:
    """The target of a running `triptych serve`, stopped with the session."""
    data = tmp_path_factory.mktemp("gateway")
    command = [sys.executable, "-c", "from triptych.cli import main; main()", "serve"]
    flags = ["--port", "0", "--repository", REPOSITORY, "--data", data / "data", "--threads", "1"]
    with (data / "log").open("w") as log:
        process = subprocess.Popen(
            [*command, *flags], stdout=subprocess.PIPE, stderr=log, text=True
        )
    assert process.stdout is not None
    ready = process.stdout.readline()
    assert "is ready on" in ready, (data / "log").read_text()
    yield ready.split()[-1]
    process.terminate()
    assert process.wait(30) == 0
    process.stdout.close()


@pytest.fixture(scope="session")
def pictures(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A directory with a picture for each colour: `circles/red.png` and so on."""
    directory = tmp_path_factory.mktemp("pictures")
    (directory / "circles").mkdir()
    for colour in COLOURS:
        image = Image.new("RGB", (64, 64), "white")
        ImageDraw.Draw(image).ellipse((17, 17, 47, 47), fill=colour)
        image.save(directory / "circles" / f"{colour}.png")
    return directory
