"""Prove what fp16 and bf16 cost a CLIP ViT-B/32, and that layers to keep in fp32 are found.

`python -m triptych_export.precision_proof DIR` writes a checkpoint of random weights and one with
massive activations, such as trained networks have, exports both with the commands that a user has,
and prints a line of JSON for each export. It takes 3 GB of disk, 4 GB of memory and some minutes.
"""

import argparse
import json
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path
from typing import Any

from transformers import CLIPModel

from triptych_export.outliers import plant_attention_outlier, plant_residual_outlier
from triptych_export.random_checkpoint import write_random_checkpoint

ARCHITECTURE = "clip-vit-b32"
_OUTLIERS = "clip-outliers"
_EXPORTS = {
    ARCHITECTURE: (["fp32"], ["fp16"], ["bf16"]),
    _OUTLIERS: (["fp16"], ["fp16", "--keep-fp32", "auto"], ["bf16", "--keep-fp32", "auto"]),
}


def prove(directory: Path) -> Iterator[dict[str, Any]]:
    """Write and export both checkpoints in `directory`; the figures of each export."""
    write_random_checkpoint(ARCHITECTURE, directory / ARCHITECTURE)
    _write_outliers(directory / ARCHITECTURE, directory / _OUTLIERS)
    for checkpoint, exports in _EXPORTS.items():
        for options in exports:
            yield {"export": [checkpoint, *options], **_export(directory, checkpoint, options)}


def _write_outliers(source: Path, target: Path) -> None:
    """Queries of a million in one block of the image tower, and residuals of 100,000 in three."""
    target.mkdir()
    for file in source.iterdir():
        (target / file.name).write_bytes(file.read_bytes())
    model = CLIPModel.from_pretrained(source)
    layers = model.vision_model.encoder.layers
    plant_attention_outlier(layers[3], 2.0**20)
    plant_residual_outlier(layers, first=6, last=8, size=1e5)
    model.save_pretrained(target)


def _export(directory: Path, checkpoint: str, options: list[str]) -> dict[str, Any]:
    """The figures, or why it is refused."""
    command = [sys.executable, "-m", "triptych_export.cli", "clip", str(directory / checkpoint)]
    command += ["--repository", str(directory / "models"), "--overwrite", "--json"]
    command += ["--precision", *options]
    print(" ".join(command[2:]), file=sys.stderr)
    result = subprocess.run(command, check=False, capture_output=True, text=True)
    if result.returncode:
        return {"refused": result.stderr.strip().splitlines()[-1]}
    report = json.loads(result.stdout)
    encoders = {encoder["folder"]: _figures(encoder) for encoder in report["encoders"]}
    return {"seconds": report["seconds"], **encoders}


def _figures(encoder: dict[str, Any]) -> dict[str, Any]:
    names = ("cosine", "centred_cosine", "max_abs_difference")
    return {
        "file_bytes": encoder["file_bytes"],
        "kept_fp32": encoder["kept_fp32"],
        **{name: encoder["parity"][name] for name in names},
    }


def main() -> None:
    """Read the argument, and print the figures."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("directory", type=Path)
    for figures in prove(parser.parse_args().directory):
        print(json.dumps(figures), flush=True)


if __name__ == "__main__":
    main()
