"""`triptych embed` and `triptych rank`."""

import os
from pathlib import Path
from typing import Annotated

import numpy as np
import typer

from triptych.channel import DEFAULT_TARGET, DEFAULT_TIMEOUT_S
from triptych.cli.options import Json, Model, PictureFile, Target, Timeout
from triptych.cli.output import print_json, print_table
from triptych.cli.pictures import has_picture_suffix, open_picture
from triptych.client import Client
from triptych.contents import Content


def embed(
    inputs: Annotated[
        list[str], typer.Argument(help="Texts, and pictures: what names a file is a picture.")
    ],
    output: Annotated[
        Path | None, typer.Option(metavar="FILE.npy", help="Save the vectors, [N, D] float32.")
    ] = None,
    model: Model = "",
    target: Target = DEFAULT_TARGET,
    timeout: Timeout = DEFAULT_TIMEOUT_S,
    as_json: Json = False,
) -> None:
    """Embed texts and pictures into vectors."""
    with Client(target, timeout=timeout) as client:
        embeddings = client.embed([_content(given) for given in inputs], model=model)
    if output is not None:
        np.save(output, embeddings.vectors)
    if as_json:
        results = [
            {"input": given, "vector": e.vector, "truncated": e.truncated, "error": e.error}
            for given, e in zip(inputs, embeddings, strict=True)
        ]
        print_json(
            {
                "model": embeddings.model,
                "space": embeddings.space,
                "timing": embeddings.timing,
                "results": results,
            }
        )
    else:
        print_table(
            ["input", "dimension", "truncated", "error"],
            [
                (given, None if e.vector is None else e.vector.size, e.truncated, e.error)
                for given, e in zip(inputs, embeddings, strict=True)
            ],
        )
    if any(embedding.error for embedding in embeddings):
        raise typer.Exit(1)


def rank(
    picture: PictureFile,
    labels: Annotated[list[str], typer.Argument(metavar="LABEL...", help="What it may be.")],
    template: Annotated[
        list[str] | None,
        typer.Option(help="A sentence with {} for the label; several are averaged."),
    ] = None,
    limit: Annotated[
        int | None, typer.Option(min=1, help="How many of the best. Default: all.")
    ] = None,
    model: Model = "",
    target: Target = DEFAULT_TARGET,
    timeout: Timeout = DEFAULT_TIMEOUT_S,
    as_json: Json = False,
) -> None:
    """Say which label fits a picture best."""
    query = open_picture(picture)
    with Client(target, timeout=timeout) as client:
        ranking = client.rank(query, labels, templates=template or (), limit=limit, model=model)
    if as_json:
        results = [
            {
                "candidate": labels[r.index],
                "index": r.index,
                "similarity": r.similarity,
                "probability": r.probability,
                "error": r.error,
            }
            for r in ranking
        ]
        print_json(
            {
                "model": ranking.model,
                "space": ranking.space,
                "timing": ranking.timing,
                "results": results,
            }
        )
    else:
        print_table(
            ["label", "probability", "similarity", "error"],
            [(labels[r.index], r.probability, r.similarity, r.error) for r in ranking],
        )
    if any(ranked.error for ranked in ranking):
        raise typer.Exit(1)


def _content(given: str) -> Content:
    if os.path.isfile(given):
        return open_picture(Path(given))
    if has_picture_suffix(given):
        raise typer.BadParameter(f"no such file: {given}")
    return given
