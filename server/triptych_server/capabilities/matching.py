"""Whether texts match pictures, by models that look at both together.

Image-text matching as BLIP-2 does it (arXiv 2301.12597, section 3.1): a picture's patches are
computed once, and each of its texts is then compared with them.
"""

import asyncio
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass

import numpy as np
import numpy.typing as npt

from triptych_server.capabilities.concurrency import run_all
from triptych_server.capabilities.encoding import Encoding, Patches
from triptych_server.capabilities.model import Model
from triptych_server.capabilities.outcomes import outcome
from triptych_server.capabilities.timing import StageTimes, Stopwatch
from triptych_server.engines.encoders import Role, Tensors
from triptych_server.engines.encoders.spec import (
    ATTENTION_MASK,
    IMAGE_INDEX,
    INPUT_IDS,
    LOGITS,
    PATCHES,
    PIXELS,
)
from triptych_server.errors import Internal, TriptychError
from triptych_server.media.content import Image
from triptych_server.media.image import Pixels
from triptych_server.media.text import TokenizedText

RUN_PAIRS = 8  # compared in one run: more are no faster on CPUs, and workers share several runs
# Of pictures under way at once, over all calls: a group's patches of a ViT-g are 12 MB.
GROUPS = 16

# A picture, its pixels `[H, W, 3]` as `Matcher.pixels` gives them, or its patches, of the space
# that the model takes.
Picture = Image | Pixels | Patches
# Positions of a picture and of a text.
Pair = tuple[int, int]


@dataclass(frozen=True, slots=True)
class Matches:
    """`probabilities` has one of each pair, 0 to 1, and None for pairs of pictures in `errors`;
    `errors` says of pictures, by position, what is wrong with them."""

    probabilities: Sequence[float | None]
    errors: Mapping[int, TriptychError]
    times: StageTimes


@dataclass(frozen=True, slots=True, eq=False)
class _Encoded:
    """The patches of one picture, `[1, P, W]` float32, and what they took."""

    patches: npt.NDArray[np.float32]
    times: StageTimes


@dataclass(frozen=True, slots=True)
class _Call:
    """What the groups of one call have in common."""

    model: Model
    pictures: Sequence[Picture]
    texts: Sequence[TokenizedText]
    pairs: Sequence[Pair]


class Matcher:
    """Matches with the encoders of models."""

    def __init__(self, encoding: Encoding) -> None:
        self._encoding = encoding
        self._room = asyncio.Semaphore(GROUPS)

    async def pixels(self, model: Model, image: Image) -> Pixels:
        """A picture as the model looks at it, for callers that let go of its file sooner.

        Raises `InvalidArgument` with the field inside the picture.
        """
        return await self._encoding.pixels(model.encoder(Role.VISION), image)

    async def patches(self, model: Model, image: Image) -> tuple[Patches, StageTimes]:
        """The patches of a picture that is matched again and again, and what they took.

        Raises `InvalidArgument` with the field inside the picture.
        """
        async with self._room:
            encoded = await self._encode(model, image)
        return Patches(encoded.patches, model.encoder(Role.ITM).patch_space), encoded.times

    async def match(
        self,
        model: Model,
        pictures: Sequence[Picture],
        texts: Sequence[str],
        pairs: Sequence[Pair],
    ) -> Matches:
        """The probability that the text of each pair describes its picture.

        Texts are cut to the model's context. What is wrong with a picture is returned, with the
        field inside the picture; what is wrong with the engine is raised.
        """
        model.encoder(Role.ITM)  # raises if it cannot be used, its tokenizer included
        watch = Stopwatch()
        tokens = await self._encoding.tokens(model, Role.ITM, texts)
        times = StageTimes(preprocess_ns=watch.ns())
        call = _Call(model, pictures, tokens, pairs)

        async def in_turn(group: Sequence[int]) -> Matches:
            async with self._room:
                return await self._match_group(call, group)

        groups = list(_groups(pairs))
        matched = await run_all(in_turn(group) for group in groups)
        probabilities: list[float | None] = [None] * len(pairs)
        errors: dict[int, TriptychError] = {}
        for group, matches in zip(groups, matched, strict=True):
            errors.update(matches.errors)
            for position, probability in zip(group, matches.probabilities, strict=True):
                probabilities[position] = probability
        return Matches(
            probabilities, errors, times.then(StageTimes.longest(each.times for each in matched))
        )

    async def _match_group(self, call: _Call, group: Sequence[int]) -> Matches:
        """The pairs at the positions `group`, all pairs of some pictures."""
        pictures = list(dict.fromkeys(call.pairs[position][0] for position in group))
        outcomes = await run_all(
            outcome(self._encode(call.model, call.pictures[picture])) for picture in pictures
        )
        encoded: dict[int, _Encoded] = {}
        errors: dict[int, TriptychError] = {}
        for picture, each in zip(pictures, outcomes, strict=True):
            if isinstance(each, TriptychError):
                errors[picture] = each
            else:
                encoded[picture] = each
        sound = [position for position in group if call.pairs[position][0] in encoded]
        runs = [sound[first : first + RUN_PAIRS] for first in range(0, len(sound), RUN_PAIRS)]
        compared = await run_all(self._compare(call, run, encoded) for run in runs)
        found: dict[int, float] = {}
        for run, (logits, _) in zip(runs, compared, strict=True):
            for position, probability in zip(run, _probabilities(logits), strict=True):
                found[position] = probability
                if not np.isfinite(probability):
                    errors[call.pairs[position][0]] = _not_finite()
        times = StageTimes.longest(each.times for each in encoded.values())
        return Matches(
            [None if call.pairs[p][0] in errors else found[p] for p in group],
            errors,
            times.then(StageTimes.longest(times for _, times in compared)),
        )

    async def _encode(self, model: Model, picture: Picture) -> _Encoded:
        if isinstance(picture, Patches):
            return _Encoded(picture.values, StageTimes())
        watch = Stopwatch()
        if isinstance(picture, np.ndarray):
            pixels = picture
        else:
            pixels = await self.pixels(model, picture)
        preprocess_ns = watch.ns()
        inputs = {PIXELS: pixels[np.newaxis]}
        inference = await self._encoding.infer(model, model.encoder(Role.VISION), inputs)
        return _Encoded(inference.outputs[PATCHES], StageTimes.of(inference, preprocess_ns))

    async def _compare(
        self, call: _Call, run: Sequence[int], encoded: Mapping[int, _Encoded]
    ) -> tuple[npt.NDArray[np.float32], StageTimes]:
        """Logits `[N, 2]` of the pairs at the positions `run`; of patches that are not finite,
        logits that are not."""
        itm = call.model.encoder(Role.ITM)
        assert itm.text is not None, "an encoder of texts has text preprocessing"
        of_run = [call.pairs[position] for position in run]
        pictures = list(dict.fromkeys(picture for picture, _ in of_run))
        texts = [call.texts[text] for _, text in of_run]
        inputs: Tensors = {
            PATCHES: await self._joined([encoded[picture].patches for picture in pictures]),
            INPUT_IDS: _stacked([text.input_ids for text in texts], itm.text.pad_id),
            ATTENTION_MASK: _stacked([text.attention_mask for text in texts], 0),
            IMAGE_INDEX: np.array([pictures.index(picture) for picture, _ in of_run], np.int64),
        }
        inference = await self._encoding.infer(call.model, itm, inputs)
        return inference.outputs[LOGITS], StageTimes.of(inference)

    async def _joined(self, patches: Sequence[npt.NDArray[np.float32]]) -> npt.NDArray[np.float32]:
        """Patches `[1, P, W]` of some pictures as `[N, P, W]`; megabytes are not copied on the
        event loop."""
        if len(patches) == 1:
            return patches[0]
        return await asyncio.to_thread(np.concatenate, patches)


def _groups(pairs: Sequence[Pair]) -> Iterator[list[int]]:
    """Positions of pairs, all of a picture together: as many pictures as one run compares, or one
    with more texts than that."""
    of_picture: dict[int, list[int]] = {}
    for position, (picture, _) in enumerate(pairs):
        of_picture.setdefault(picture, []).append(position)
    group: list[int] = []
    for positions in of_picture.values():
        if group and len(group) + len(positions) > RUN_PAIRS:
            yield group
            group = []
        group += positions
    if group:
        yield group


def _stacked(rows: Sequence[npt.NDArray[np.int64]], fill: int) -> npt.NDArray[np.int64]:
    """Rows `[1, L]`, each padded to the longest, as `[N, L]`."""
    longest = max(row.shape[1] for row in rows)
    stacked = np.full((len(rows), longest), fill, np.int64)
    for position, row in enumerate(rows):
        stacked[position, : row.shape[1]] = row[0]
    return stacked


def _probabilities(logits: npt.NDArray[np.float32]) -> list[float]:
    """Softmax over no match and match; NaN where a logit is not finite."""
    wide = np.where(np.isfinite(logits), logits, np.nan).astype(np.float64)
    with np.errstate(invalid="ignore"):  # NaN is an answer here
        matches = np.exp(-np.logaddexp(0, wide[:, 0] - wide[:, 1]))
    return [float(match) for match in matches]


def _not_finite() -> Internal:
    return Internal("the encoder gave numbers that are not finite", reason="ENCODER_FAILED")
