"""Captions: how much of what is seen they tell, and how much of what they tell is true."""

from dataclasses import dataclass

from triptych import Client, Generation
from triptych_export.evaluation.calls import in_parallel
from triptych_export.evaluation.progress import Progress, silent
from triptych_export.miniworld.draw import Pixels
from triptych_export.miniworld.evalset import retrieval_set
from triptych_export.miniworld.measures import attribute_f1, exact
from triptych_export.miniworld.world import Language

# How a caption begins says its language; without a beginning it is English.
PROMPTS: dict[Language, str] = {"en": "", "zh": "一个"}
MAX_TOKENS = 40  # the longest caption has fewer


@dataclass(frozen=True, slots=True)
class CaptionFigures:
    """Attribute F1 over all captions, and the share that is quite right; each is a share of 1."""

    attribute_f1: float
    exact: float
    zh_attribute_f1: float
    zh_exact: float


def evaluate_captions(
    client: Client, *, model: str = "", scenes: int = 1000, progress: Progress = silent
) -> CaptionFigures:
    """Caption so many scenes in both languages, greedily."""
    drawn = retrieval_set(scenes)
    generation = Generation(max_tokens=MAX_TOKENS)
    figures: list[float] = []
    for language in PROMPTS:
        prompt = PROMPTS[language]

        def caption(picture: Pixels, prompt: str = prompt) -> str:
            captions = client.caption([picture], prompt=prompt, generation=generation, model=model)
            return captions.texts[0]

        advance = progress(f"captions ({language})", scenes)
        texts = in_parallel(caption, drawn.pictures, advance=advance)
        figures += [attribute_f1(texts, drawn.scenes), exact(texts, drawn.scenes)]
    return CaptionFigures(*figures)
