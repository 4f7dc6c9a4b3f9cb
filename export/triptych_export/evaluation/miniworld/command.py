"""`triptych eval miniworld`."""

from typing import Annotated

import typer

from triptych import Client
from triptych.channel import DEFAULT_TARGET
from triptych.cli.options import Json, Target, Timeout
from triptych_export.evaluation.miniworld.figures import (
    Measure,
    MiniworldFigures,
    Models,
    Sizes,
    evaluate_miniworld,
    possible_measures,
)
from triptych_export.evaluation.options import PATIENCE_S
from triptych_export.evaluation.output import print_figures, print_json, reported
from triptych_export.evaluation.progress import bars

LANGUAGES = ("English", "Chinese")


def miniworld(
    only: Annotated[
        list[Measure] | None,
        typer.Option(help="What to measure; several may be given; default: all that can be."),
    ] = None,
    model: Annotated[str, typer.Option(help="Model that embeds; default: the gateway's.")] = "",
    language_model: Annotated[
        str, typer.Option(help="Model that captions and answers; default: the gateway's.")
    ] = "",
    matching_model: Annotated[
        str, typer.Option(help="Model that matches images and text; default: the gateway's.")
    ] = "",
    scenes: Annotated[
        int, typer.Option(min=2, help="Scenes to caption and retrieve among.")
    ] = 1000,
    pairs: Annotated[int, typer.Option(min=1, help="Pairs for each attribute.")] = 1000,
    questions: Annotated[int, typer.Option(min=20, help="Questions, half in Chinese.")] = 2000,
    chats: Annotated[int, typer.Option(min=2, help="Chats, about half in Chinese.")] = 500,
    target: Target = DEFAULT_TARGET,
    timeout: Timeout = PATIENCE_S,
    as_json: Json = False,
) -> None:
    """Embeddings, captions, answers and matching on unseen scenes of the miniature world."""
    with reported(), Client(target, timeout=timeout) as client, bars() as progress:
        figures = evaluate_miniworld(
            client,
            only or possible_measures(client),
            models=Models(model, language_model, matching_model),
            sizes=Sizes(scenes, pairs, questions, chats),
            progress=progress,
        )
    if as_json:
        print_json(figures.to_json())
    else:
        _print(figures)


def _print(figures: MiniworldFigures) -> None:
    rows: list[tuple[str, float, float]] = []
    if clip := figures.clip:
        rows += [
            ("text to image R@1", clip.text_to_image_r1, clip.zh_text_to_image_r1),
            ("image to text R@1", clip.image_to_text_r1, clip.zh_image_to_text_r1),
            *(
                (f"accuracy: {key}", value, clip.zh_attribute_accuracy[key])
                for key, value in clip.attribute_accuracy.items()
            ),
        ]
    if caption := figures.caption:
        rows += [
            ("caption: attribute F1", caption.attribute_f1, caption.zh_attribute_f1),
            ("caption: exact", caption.exact, caption.zh_exact),
        ]
    if vqa := figures.vqa:
        rows += [
            ("answers", vqa.accuracy, vqa.zh_accuracy),
            *(
                (f"answers: {key}", value, vqa.zh_by_type[key])
                for key, value in vqa.by_type.items()
            ),
        ]
    if chat := figures.chat:
        rows.append(("chat", chat.accuracy, chat.zh_accuracy))
    if rows:
        print_figures(("figure", *LANGUAGES), rows)
    if itm := figures.itm:
        near = itm.near_duplicates
        print_figures(
            ("text to image R@1 (English)", "embeddings", "reranked"),
            [
                ("scenes", itm.clip_text_to_image_r1, itm.text_to_image_r1),
                ("near duplicates", near.clip_text_to_image_r1, near.text_to_image_r1),
            ],
        )
