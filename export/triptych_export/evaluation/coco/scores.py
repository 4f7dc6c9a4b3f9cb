"""How near captions come to those that people wrote, by the measures of the COCO benchmark."""

import subprocess
from collections.abc import Callable, Mapping, Sequence
from contextlib import suppress
from dataclasses import dataclass, field
from pathlib import Path

from pycocoevalcap.bleu.bleu import Bleu
from pycocoevalcap.cider.cider import Cider
from pycocoevalcap.meteor.meteor import Meteor
from pycocoevalcap.rouge.rouge import Rouge
from pycocoevalcap.spice import spice

from triptych_export.evaluation.coco.java import NO_JAVA, has_java, opened_packages
from triptych_export.evaluation.coco.tokenization import Tokenizer, available_tokenizer, tokenize

_SPICE_JARS = ("stanford-corenlp-3.6.0.jar", "stanford-corenlp-3.6.0-models.jar")
Sentences = Mapping[int, list[str]]
"""Tokenized sentences by picture."""
NO_PARSER = (
    "SPICE's parser, Stanford CoreNLP 3.6.0, is not there; `python -c 'from pycocoevalcap.spice."
    "get_stanford_models import get_stanford_models as get; get()'` downloads it (400 MB)"
)


@dataclass(frozen=True, slots=True)
class CaptionScores:
    """Scores over a set of pictures, as papers give them but not times 100.

    BLEU (Papineni et al., 2002), ROUGE-L (Lin, 2004) and METEOR (Denkowski and Lavie, 2014) compare
    words, SPICE (arXiv 1607.08822) the objects, attributes and relations that are told; 1 is best.
    CIDEr (arXiv 1411.5726), up to 10, weighs words by how rare they are in the captions of the set,
    so that figures of sets of different size do not compare. A measure that is None did not run;
    `not_run` says why, by the measure's name.
    """

    bleu_1: float
    bleu_2: float
    bleu_3: float
    bleu_4: float
    rouge_l: float
    cider: float
    meteor: float | None
    spice: float | None
    tokenizer: Tokenizer
    not_run: dict[str, str] = field(default_factory=dict)


def score_captions(
    captions: Sequence[str], references: Sequence[Sequence[str]], tokenizer: Tokenizer | None = None
) -> CaptionScores:
    """Score one caption of each picture against all that people wrote about it.

    Both are in English. By default they are split by the best tokenizer that is there.
    """
    chosen = tokenizer or available_tokenizer()
    given = {i: [line] for i, line in enumerate(tokenize(captions, chosen))}
    true = _grouped(references, chosen)
    bleu, _ = Bleu(4).compute_score(true, given, verbose=0)
    rouge_l, _ = Rouge().compute_score(true, given)
    cider, _ = Cider().compute_score(true, given)
    not_run: dict[str, str] = {}
    bleu_1, bleu_2, bleu_3, bleu_4 = map(float, bleu)
    return CaptionScores(
        bleu_1,
        bleu_2,
        bleu_3,
        bleu_4,
        rouge_l=float(rouge_l),
        cider=float(cider),
        meteor=_run("meteor", _meteor, true, given, not_run),
        spice=_run("spice", _spice, true, given, not_run),
        tokenizer=chosen,
        not_run=not_run,
    )


class _CannotRunError(Exception):
    """Why a measure cannot run."""


def _grouped(references: Sequence[Sequence[str]], tokenizer: Tokenizer) -> Sentences:
    lines = iter(tokenize([text for texts in references for text in texts], tokenizer))
    return {i: [next(lines) for _ in texts] for i, texts in enumerate(references)}


def _run(
    name: str,
    measure: Callable[[Sentences, Sentences], float],
    true: Sentences,
    given: Sentences,
    not_run: dict[str, str],
) -> float | None:
    try:
        if not has_java():
            raise _CannotRunError(NO_JAVA)
        return measure(true, given)
    except _CannotRunError as error:
        not_run[name] = str(error)
    except (OSError, ValueError, subprocess.SubprocessError) as error:
        not_run[name] = f"its Java program failed: {error}"
    return None


def _meteor(true: Sentences, given: Sentences) -> float:
    meteor = Meteor()
    try:
        score, _ = meteor.compute_score(_without_separator(true), _without_separator(given))
    finally:
        # After an error its destructor would wait for the lock, and then flush into a broken pipe.
        if meteor.lock.locked():
            meteor.lock.release()
        with suppress(OSError):
            meteor.meteor_p.stdin.close()
    return float(score)


def _without_separator(sentences: Sentences) -> Sentences:
    """METEOR divides sentences by `|||`, and the library would wait for the scores of all parts."""
    return {i: [line.replace("|", "") for line in lines] for i, lines in sentences.items()}


def _spice(true: Sentences, given: Sentences) -> float:
    library = Path(spice.__file__).parent / "lib"
    if not all((library / jar).is_file() for jar in _SPICE_JARS):
        raise _CannotRunError(NO_PARSER)  # the library would begin to download it
    with opened_packages():
        score, _ = spice.Spice().compute_score(true, given)
    return float(score)
