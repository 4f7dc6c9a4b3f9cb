"""English sentences to the tokens that caption measures compare."""

import re
import subprocess
from collections.abc import Sequence
from enum import StrEnum
from pathlib import Path

from pycocoevalcap.tokenizer import ptbtokenizer

from triptych_export.evaluation.coco.java import has_java
from triptych_export.evaluation.errors import EvaluationError

_JAR = Path(ptbtokenizer.__file__).parent / ptbtokenizer.STANFORD_CORENLP_3_4_1_JAR
_PROGRAM = "edu.stanford.nlp.process.PTBTokenizer"
_DROPPED = frozenset(ptbtokenizer.PUNCTUATIONS)


class Tokenizer(StrEnum):
    """What splits sentences into words.

    `PTB` is Stanford's tokenizer, a Java program, with which published figures were made.
    `APPROXIMATE` follows its rules for what captions consist of; where quotation marks, brackets or
    abbreviations are unusual it may split otherwise.
    """

    PTB = "ptb"
    APPROXIMATE = "approximate"


def available_tokenizer() -> Tokenizer:
    """Stanford's where Java is there."""
    return Tokenizer.PTB if has_java() else Tokenizer.APPROXIMATE


def tokenize(sentences: Sequence[str], tokenizer: Tokenizer) -> list[str]:
    """Each sentence in lower case, its tokens apart by one space, without punctuation."""
    lines = [" ".join(sentence.split()) for sentence in sentences]
    split = _ptb(lines) if tokenizer is Tokenizer.PTB else [_approximate(line) for line in lines]
    return [
        " ".join(token for token in tokens if token and token not in _DROPPED) for tokens in split
    ]


def _ptb(lines: Sequence[str]) -> list[list[str]]:
    # The library's own wrapper writes into its installation, which may be read-only.
    command = ["java", "-cp", str(_JAR), _PROGRAM, "-preserveLines", "-lowerCase"]
    text = "".join(f"{line}\n" for line in lines)
    done = subprocess.run(command, input=text.encode(errors="replace"), capture_output=True)
    tokenized = done.stdout.decode().split("\n")[:-1]
    if done.returncode or len(tokenized) != len(lines):
        reason = done.stderr.decode(errors="replace").strip()
        raise EvaluationError(f"Stanford's tokenizer failed: {reason}")
    return [line.split(" ") for line in tokenized]


_WORDS_OF_TWO = {
    "cannot": "can not",
    "gimme": "gim me",
    "gonna": "gon na",
    "gotta": "got ta",
    "lemme": "lem me",
    "wanna": "wan na",
}
_TWO_WORDS = re.compile(rf"\b(?:{'|'.join(_WORDS_OF_TWO)})\b")
_NAMES = str.maketrans(
    {
        "\N{LEFT SINGLE QUOTATION MARK}": "'",
        "\N{RIGHT SINGLE QUOTATION MARK}": "'",
        "\N{LEFT DOUBLE QUOTATION MARK}": " `` ",
        "\N{RIGHT DOUBLE QUOTATION MARK}": " '' ",
        '"': " '' ",
        "\N{EN DASH}": " -- ",
        "\N{EM DASH}": " -- ",
        "\N{HORIZONTAL ELLIPSIS}": " ... ",
        "(": " -lrb- ",
        ")": " -rrb- ",
        "[": " -lsb- ",
        "]": " -rsb- ",
        "{": " -lcb- ",
        "}": " -rcb- ",
    }
)
_CLITIC = r"'(?:s|m|d|re|ve|ll)\b"
_TOKEN = re.compile(
    rf"""
    -(?:[lr][rsc]b)-                                   # a bracket's name
    | (?:[a-z]\.){{2,}}                                # p.m.
    | (?:dr|mr|mrs|ms|st)\.
    | \d+(?:[.,:]\d+)+                                 # 1,000 or 3:30
    | \w+?(?=n't\b) | n't\b | {_CLITIC}
    | \w+(?:[-/]\w+|'(?!(?:s|m|d|re|ve|ll)\b)\w+)*     # t-shirt, o'brien
    | ``|''|--+|\.\.+|[^\s\w]
    """,
    re.VERBOSE,
)


def _approximate(line: str) -> list[str]:
    text = _TWO_WORDS.sub(lambda match: _WORDS_OF_TWO[match[0]], line.lower().translate(_NAMES))
    return _TOKEN.findall(text)
