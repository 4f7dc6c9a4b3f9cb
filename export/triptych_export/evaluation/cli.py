"""`triptych eval`."""

import json
from dataclasses import asdict
from typing import Annotated

import typer
from rich.console import Console
from rich.table import Table

from triptych import Client
from triptych_export.evaluation.miniworld import ClipFigures, evaluate_clip

app = typer.Typer(
    help="Measure the models of a running gateway.", no_args_is_help=True, add_completion=False
)


@app.callback()
def _evaluate() -> None:
    """Measure the models of a running gateway."""


@app.command()
def miniworld(
    target: Annotated[
        str, typer.Option(envvar="TRIPTYCH_TARGET", help="HOST:PORT of the gateway.")
    ] = "127.0.0.1:50051",
    model: Annotated[str, typer.Option(help="Model; default: the gateway's.")] = "",
    scenes: Annotated[int, typer.Option(min=2, help="Scenes to retrieve among.")] = 1000,
    pairs: Annotated[int, typer.Option(min=1, help="Pairs for each attribute.")] = 1000,
    as_json: Annotated[bool, typer.Option("--json", help="Print one JSON document.")] = False,
) -> None:
    """Retrieval and attribute figures on unseen scenes of the miniature world."""
    console = Console(stderr=True)
    with Client(target) as client, console.status("connecting") as status:
        figures = evaluate_clip(
            client, model=model, scenes=scenes, pairs=pairs, progress=status.update
        )
    if as_json:
        print(json.dumps({"clip": asdict(figures)}, indent=2))
    else:
        Console().print(_table(figures))


def _table(figures: ClipFigures) -> Table:
    table = Table("figure", "English", "Chinese")
    rows = [
        ("text to image R@1", figures.text_to_image_r1, figures.zh_text_to_image_r1),
        ("image to text R@1", figures.image_to_text_r1, figures.zh_image_to_text_r1),
        *(
            (f"accuracy: {key}", value, figures.zh_attribute_accuracy[key])
            for key, value in figures.attribute_accuracy.items()
        ),
    ]
    for name, english, chinese in rows:
        table.add_row(name, f"{english:.3f}", f"{chinese:.3f}")
    return table
