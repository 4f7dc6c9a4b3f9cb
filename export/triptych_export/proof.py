"""Prove that BLIP-2 at its published sizes goes through the export and runs in process.

`python -m triptych_export.proof DIR` writes checkpoints of random weights with the vision tower
(ViT-g) and the Q-Former of all published BLIP-2 and an OPT of 125 million weights, exports them
with the commands that a user has, loads the result into the in-process engine, and prints a JSON
object of figures. At full depth that takes about 25 GB of disk, 13 GB of memory and an hour of four
cores; `--image-layers N` makes the vision tower less deep, never less wide.
"""

import argparse
import asyncio
import json
import resource
import subprocess
import sys
import time
from pathlib import Path
from typing import Any

import numpy as np

from triptych_server.engines.encoders.onnx import OnnxEngine
from triptych_server.engines.encoders.spec import (
    ATTENTION_MASK,
    IMAGE_INDEX,
    INPUT_IDS,
    LOGITS,
    PATCHES,
    PIXELS,
    PREFIX,
)
from triptych_server.engines.generators.decoder import Decoder
from triptych_server.engines.generators.decoder_batch import DecoderBatch
from triptych_server.engines.generators.spec import read_spec

GENERATION, RETRIEVAL = "blip2-opt-125m", "blip2-itm-vit-g"
_TOKENS = 30


def prove(directory: Path, image_layers: int) -> dict[str, Any]:
    """Write, export and run both checkpoints in `directory`; the reports and figures of each."""
    repository, generators = directory / "model_repository", directory / "generators"
    # One vision tower serves both: it is of the same size, whatever its random weights.
    asked: dict[str, list[object]] = {
        GENERATION: ["--generators", generators],
        RETRIEVAL: ["--graph", "itm", "--graph", "itc_image", "--graph", "itc_text"],
    }
    reports = {}
    for architecture, options in asked.items():
        checkpoint = directory / architecture
        _run("random_checkpoint", architecture, checkpoint, "--image-layers", image_layers)
        target = ["--repository", repository, "--overwrite", "--json"]
        reports[architecture] = json.loads(_run("cli", "blip2", checkpoint, *target, *options))
    return {
        "image_layers": image_layers,
        "weight_files": _weight_files(directory),
        "reports": reports,
        "encoders": asyncio.run(_run_encoders(repository)),
        "generator": _run_generator(generators / GENERATION),
        "peak_bytes": {
            "export": _peak(resource.RUSAGE_CHILDREN),
            "engine": _peak(resource.RUSAGE_SELF),
        },
    }


def _run(module: str, *arguments: object) -> str:
    command = [sys.executable, "-m", f"triptych_export.{module}", *map(str, arguments)]
    print(" ".join(command[2:]), file=sys.stderr)
    return subprocess.run(command, check=True, stdout=subprocess.PIPE, text=True).stdout


def _weight_files(directory: Path) -> dict[str, int]:
    """Bytes of the weights that lie beside their graph, because the graph cannot hold them."""
    files = sorted(directory.rglob("*.onnx.data"))
    return {str(file.relative_to(directory)): file.stat().st_size for file in files}


async def _run_encoders(repository: Path) -> dict[str, Any]:
    """One picture through every encoder of both checkpoints, and two texts through the matcher."""
    engine = OnnxEngine(repository, threads=1, queue_rows=8)
    started = time.monotonic()
    await engine.load()
    seconds = {"load": time.monotonic() - started}
    shapes: dict[str, list[int]] = {}

    async def infer(encoder: str, output: str, **inputs: Any) -> Any:
        started = time.monotonic()
        result = (await engine.infer(encoder, inputs)).outputs[output]
        seconds[encoder] = time.monotonic() - started
        assert np.isfinite(result).all()
        shapes[encoder] = list(result.shape)
        return result

    side = (await engine.spec(f"{GENERATION}-vision")).image
    assert side is not None
    pixels = np.random.default_rng(0).integers(0, 256, (1, side.height, side.width, 3), np.uint8)
    try:
        patches = await infer(f"{GENERATION}-vision", PATCHES, **{PIXELS: pixels})
        prefix = await infer(f"{GENERATION}-prefix", PREFIX, **{PATCHES: patches})
        fused = await infer(f"{GENERATION}-image-prefix", PREFIX, **{PIXELS: pixels})
        ids = np.array([[101, 9, 8, 102], [101, 7, 102, 0]])
        texts = {INPUT_IDS: ids, ATTENTION_MASK: np.where(ids > 0, 1, 0)}
        index = {IMAGE_INDEX: np.array([0, 0])}
        await infer(f"{RETRIEVAL}-itm", LOGITS, **{PATCHES: patches, **texts, **index})
    finally:
        await engine.close()
    return {
        "seconds": seconds,
        "shapes": shapes,
        "fused_differs_by": float(np.abs(prefix - fused).max() / np.abs(prefix).max()),
    }


def _run_generator(folder: Path) -> dict[str, Any]:
    """Greedy tokens behind a random soft prefix."""
    spec = read_spec(folder)
    decoder = Decoder(folder, spec, threads=1)
    shape = (spec.prefix_tokens, spec.hidden_size)
    prefix = np.random.default_rng(0).normal(0, 0.05, shape).astype(np.float32)
    batch = DecoderBatch(decoder)
    started = time.monotonic()
    logits = batch.add([prefix])
    for _ in range(_TOKENS):
        logits = batch.step(logits.argmax(axis=-1))
    assert np.isfinite(logits).all()
    return {"tokens": _TOKENS, "seconds": time.monotonic() - started}


def _peak(who: int) -> int:
    return resource.getrusage(who).ru_maxrss * 1024


def main() -> None:
    """Read the arguments, and print the figures."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("directory", type=Path)
    parser.add_argument("--image-layers", type=int, default=39, help="depth of the vision tower")
    arguments = parser.parse_args()
    print(json.dumps(prove(arguments.directory, arguments.image_layers), indent=2))


if __name__ == "__main__":
    main()
