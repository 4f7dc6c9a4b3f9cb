"""How far a written generator is from its checkpoint, and how far is too far."""

from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt
import torch
from transformers import GenerationConfig

from triptych_export.errors import ParityError
from triptych_export.parity import BATCH_SIZES, FLOORS, LEAST_VARIATION, Precision
from triptych_export.quiet import quiet
from triptych_server.engines.generators.decoder import Decoder
from triptych_server.engines.generators.decoder_batch import DecoderBatch
from triptych_server.engines.generators.spec import FolderSpec, read_spec

Floats = npt.NDArray[np.float32]

# Differences of logits, as parts of the largest logit; that of an encoder in fp32.
LIMIT = FLOORS[Precision.FP32].difference
_STEPS = 12
LEAST_TEXT = _STEPS + 2  # tokens behind a prefix that can be compared: begin, one more, and these
_LENGTHS = (1, 9, 2, 31, 5, 3, 17, 12)  # of the texts behind the prefix


@dataclass(frozen=True, slots=True)
class GeneratorParity:
    """Figures over ragged prompts, each a soft prefix and a text, at batch 1, 3 and 8.

    Differences are parts of the largest logit: `difference` is the greatest of any logit from the
    checkpoint's, `company` of a row alone from the same in a batch, `variation` the greatest
    between two prompts. `tokens` were chosen greedily as transformers' `generate` chose them.
    """

    prompts: int
    tokens: int
    difference: float
    company: float
    variation: float


@dataclass(frozen=True, slots=True)
class _Continuation:
    """What transformers makes of a prompt: greedy tokens `[T]` and their logits `[T, V]`."""

    tokens: npt.NDArray[np.int64]
    logits: Floats


def measure_generator(folder: Path, language_model: Any, *, threads: int = 0) -> GeneratorParity:
    """Run the generator of `folder` beside its checkpoint. Raises `ParityError` when they differ.

    `threads` 0 is as many as there are cores.
    """
    spec = read_spec(folder)
    try:
        decoder = Decoder(folder, spec, threads=threads)
    except Exception as error:  # the bindings raise no common base class
        raise ParityError(f"{folder.name}: ONNX Runtime refuses it: {error}") from error
    prompts = _prompts(decoder, spec)
    references = [_generate(language_model, prompt) for prompt in prompts]
    every = range(len(prompts))
    runs = []
    for size in BATCH_SIZES:
        outputs: list[Floats] = []
        for start in range(0, len(prompts), size):
            rows = every[start : start + size]
            outputs += _replay(decoder, [prompts[i] for i in rows], [references[i] for i in rows])
        runs.append(outputs)
    truth = np.stack([reference.logits for reference in references])
    scale = float(np.abs(truth).max())
    parity = GeneratorParity(
        prompts=len(prompts),
        tokens=truth.shape[0] * truth.shape[1],
        difference=max(float(np.abs(np.stack(run) - truth).max()) for run in runs) / scale,
        company=max(float(np.abs(np.stack(run) - np.stack(runs[0])).max()) for run in runs) / scale,
        variation=float(np.ptp(truth, axis=0).max()) / scale,
    )
    failures = _failures(parity)
    if failures:
        raise ParityError(f"{folder.name} is refused: {'; '.join(failures)}")
    for run in runs:
        _check_tokens(folder.name, run, references, LIMIT * scale)
    return parity


def _prompts(decoder: Decoder, spec: FolderSpec) -> list[Floats]:
    """Random prefixes as large as the embeddings of tokens, and random texts of several lengths."""
    rng = np.random.default_rng(0)
    spread = float(decoder.embed(rng.integers(0, spec.vocabulary, 256)).std())
    begin = [] if spec.begin_id is None else [spec.begin_id]
    room = spec.context_length - _STEPS - spec.prefix_tokens - len(begin)
    prompts = []
    for length in _LENGTHS:
        prefix = rng.normal(0, spread, (spec.prefix_tokens, spec.hidden_size)).astype(np.float32)
        text = rng.integers(0, spec.vocabulary, max(1, min(length, room))).tolist()
        prompts.append(np.concatenate([prefix, decoder.embed([*begin, *text])]))
    return prompts


def _generate(language_model: Any, prompt: Floats) -> _Continuation:
    """Greedy search as transformers does it, which nothing ends early."""
    config = GenerationConfig(  # type: ignore[no-untyped-call]  # no annotations
        max_new_tokens=_STEPS,
        do_sample=False,
        num_beams=1,
        output_logits=True,
        return_dict_in_generate=True,
    )
    own, language_model.generation_config = language_model.generation_config, config
    try:
        with quiet(), torch.inference_mode():
            output = language_model.generate(inputs_embeds=torch.from_numpy(prompt)[None])
    finally:
        language_model.generation_config = own
    return _Continuation(output.sequences[0].numpy(), torch.cat(output.logits).numpy())


def _replay(
    decoder: Decoder, prompts: Sequence[Floats], references: Sequence[_Continuation]
) -> list[Floats]:
    """Logits `[T, V]` of each prompt in one batch, given the tokens that transformers chose."""
    batch = DecoderBatch(decoder)
    steps = [batch.add(prompts)]
    for tokens in np.stack([reference.tokens for reference in references], axis=1)[:-1]:
        steps.append(batch.step(tokens))
    return list(np.stack(steps, axis=1))


def _failures(parity: GeneratorParity) -> list[str]:
    # Written so that a NaN fails.
    checks = {
        f"logits differ by {parity.difference:.1e} > {LIMIT:.0e} of the largest": (
            parity.difference <= LIMIT
        ),
        f"a row changes by {parity.company:.1e} > {LIMIT:.0e} in a batch": parity.company <= LIMIT,
        f"logits vary by {parity.variation:.1e} < {LEAST_VARIATION} between prompts": (
            parity.variation >= LEAST_VARIATION
        ),
    }
    return [text for text, passed in checks.items() if not passed]


def _check_tokens(
    name: str, run: Sequence[Floats], references: Sequence[_Continuation], tolerance: float
) -> None:
    """Refuse another token than transformers chose, but for two of the same logit."""
    for logits, reference in zip(run, references, strict=True):
        steps = np.arange(len(logits))
        lost = reference.logits.max(axis=1) - reference.logits[steps, logits.argmax(axis=1)]
        if lost.max() > tolerance:
            raise ParityError(f"{name} is refused: it chooses other tokens than transformers")
