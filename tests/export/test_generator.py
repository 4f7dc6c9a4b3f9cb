"""Language models become generators that compute what transformers does, or are refused."""

import re
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from generators import (
    BEGIN_ID,
    CONTEXT_LENGTH,
    HIDDEN_SIZE,
    PREFIX_TOKENS,
    SPACE,
    VOCABULARY,
    TinyGenerator,
    tiny_language_model,
    tiny_tokenizer,
    write_tiny_generator,
)
from tokenizers import Tokenizer, processors
from transformers import (
    GPT2Config,
    GPT2LMHeadModel,
    T5Config,
    T5ForConditionalGeneration,
)

from triptych_export import graph
from triptych_export.errors import CheckpointError, ParityError
from triptych_export.generator import GeneratorReport, begin_id, write_generator
from triptych_export.generator_parity import LIMIT, measure_generator
from triptych_server.engines.generators.decoder import Decoder
from triptych_server.engines.generators.spec import Templates, read_spec


@pytest.fixture(scope="module")
def tiny(tmp_path_factory: pytest.TempPathFactory) -> TinyGenerator:
    return write_tiny_generator(tmp_path_factory.mktemp("generators"))


def write(model: Any, folder: Path, **options: Any) -> GeneratorReport:
    return write_generator(model, tiny_tokenizer(), folder, model="m", source="random@0", **options)


def test_its_spec_says_what_the_checkpoint_is(tiny: TinyGenerator) -> None:
    spec = read_spec(tiny.folder)
    assert (spec.name, spec.model, spec.family) == ("tiny", "tiny", "opt")
    assert (spec.source, spec.precision) == ("random@0", "fp32")
    assert (spec.space, spec.prefix_tokens, spec.max_prefixes) == (SPACE, PREFIX_TOKENS, 1)
    assert (spec.context_length, spec.vocabulary) == (CONTEXT_LENGTH, VOCABULARY)
    assert (spec.hidden_size, spec.layers) == (HIDDEN_SIZE, 2)
    assert (spec.key_value_heads, spec.head_size) == (2, 32)
    assert (spec.begin_id, spec.end_ids) == (BEGIN_ID, (BEGIN_ID,))
    assert spec.beams
    assert spec.scoring
    assert spec.templates == Templates()


def test_its_graph_tells_nothing_of_the_machine_that_made_it(tiny: TinyGenerator) -> None:
    content = (tiny.folder / "model.onnx").read_bytes()
    assert b".py" not in content
    assert str(Path(graph.__file__).parent).encode() not in content


def test_its_tokenizer_gives_the_ids_of_the_checkpoints_own(tiny: TinyGenerator) -> None:
    shipped = Tokenizer.from_file(str(tiny.folder / "tokenizer.json"))
    for text in ("a photo of a cat", "", "一只小猫", "🐈 </s> <image>"):
        assert shipped.encode(text).ids == tiny.tokenizer(text)["input_ids"]


def test_its_embeddings_are_the_checkpoints(tiny: TinyGenerator) -> None:
    table = tiny.model.get_input_embeddings().weight.numpy()
    embeddings = Decoder(tiny.folder, read_spec(tiny.folder), threads=1).embed(range(VOCABULARY))
    assert (embeddings == table).all()


@pytest.mark.parametrize(
    ("architecture", "config"),
    [
        ("llama", {"head_dim": 16, "tie_word_embeddings": True}),
        ("mistral", {"num_hidden_layers": 1}),
        ("qwen2", {"num_hidden_layers": 1}),
        (
            "opt",
            {"num_hidden_layers": 1, "do_layer_norm_before": False, "word_embed_proj_dim": 24},
        ),
    ],
    ids=["llama with wide heads and tied embeddings", "mistral", "qwen2", "opt-350m"],
)
def test_every_architecture_equals_transformers(
    tmp_path: Path, architecture: str, config: dict[str, object]
) -> None:
    model = tiny_language_model(architecture, **config)
    report = write(model, tmp_path / "generator")
    assert report.family == architecture
    assert report.parity.prompts == 8
    assert report.parity.difference <= LIMIT
    assert report.parity.company <= LIMIT
    spec = read_spec(tmp_path / "generator")
    assert (spec.space, spec.prefix_tokens, spec.max_prefixes) == ("", 0, 0)
    assert spec.hidden_size == model.get_input_embeddings().embedding_dim


@dataclass(frozen=True)
class Written:
    """A generator of a model that has two ends of text, embeddings of half precision, and weights
    that its graph cannot hold."""

    model: Any
    attention: str
    generation: Any
    report: GeneratorReport
    folder: Path


@pytest.fixture(scope="module")
def written(tmp_path_factory: pytest.TempPathFactory) -> Written:
    folder = tmp_path_factory.mktemp("generators") / "written"
    model = tiny_language_model(num_hidden_layers=1)
    table = model.get_input_embeddings().weight
    table.copy_(table.half())
    model.generation_config.eos_token_id = [7, 9]
    attention, generation = model.config._attn_implementation, model.generation_config
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(graph, "LARGEST_FILE", 10_000)
        report = write(model, folder)
    return Written(model, attention, generation, report, folder)


def test_large_weights_lie_beside_the_graph(written: Written) -> None:
    files = {file.name: file.stat() for file in written.folder.iterdir()}
    assert files["model.onnx.data"].st_size > files["model.onnx"].st_size
    assert files["model.onnx.data"].st_mode & 0o777 == 0o644


def test_embeddings_that_lose_nothing_take_half_the_bytes(written: Written) -> None:
    table = np.load(written.folder / "embedding.npy")
    assert table.dtype == np.float16
    embeddings = Decoder(written.folder, read_spec(written.folder), threads=1).embed([5, 0])
    assert embeddings.dtype == np.float32
    assert (embeddings == table[[5, 0]]).all()


def test_ends_of_text_are_those_of_the_generation_config(written: Written) -> None:
    assert read_spec(written.folder).end_ids == (7, 9)


def test_the_model_is_left_as_it_was(written: Written) -> None:
    assert written.model.config._attn_implementation == written.attention
    assert written.model.generation_config is written.generation


def test_the_report_has_its_size_and_parity(written: Written) -> None:
    report = written.report
    assert (report.folder, report.family, report.layers) == ("written", "opt", 1)
    assert (report.hidden_size, report.context_length) == (HIDDEN_SIZE, CONTEXT_LENGTH)
    assert report.file_bytes == sum(file.stat().st_size for file in written.folder.iterdir())
    assert report.parity.tokens == 8 * 12


def test_another_network_than_the_checkpoints_is_refused(tiny: TinyGenerator) -> None:
    model = tiny_language_model()
    with torch.no_grad():
        model.model.decoder.layers[1].fc2.bias[3] += 0.01
    with pytest.raises(ParityError, match="tiny is refused: logits differ by"):
        measure_generator(tiny.folder, model)


def test_a_network_that_sees_no_difference_is_refused(tiny: TinyGenerator) -> None:
    model = tiny_language_model()
    with torch.no_grad():
        model.model.decoder.final_layer_norm.weight.zero_()
    with pytest.raises(ParityError, match=r"logits vary by 0\.0e\+00"):
        measure_generator(tiny.folder, model)


def t5() -> Any:
    return T5ForConditionalGeneration(T5Config(d_model=16, d_kv=8, d_ff=16, num_layers=1))


def gpt2() -> Any:
    return GPT2LMHeadModel(GPT2Config(n_embd=16, n_layer=1, n_head=2))


def narrow() -> Any:
    return tiny_language_model(num_attention_heads=16)


def windowed() -> Any:
    return tiny_language_model("mistral", sliding_window=16)


def windowed_qwen() -> Any:
    return tiny_language_model(
        "qwen2", use_sliding_window=True, sliding_window=16, max_window_layers=1
    )


def stretched() -> Any:
    rotation = {"rope_type": "dynamic", "factor": 2.0, "rope_theta": 10_000.0}
    return tiny_language_model("llama", rope_parameters=rotation)


@pytest.mark.parametrize(
    ("build", "message"),
    [
        (t5, "'t5' is an encoder-decoder, which needs a generator of another kind"),
        (gpt2, "language model 'gpt2' cannot be exported; known: opt, llama"),
        (narrow, "heads have 4 numbers, no multiple of 8"),
        (windowed, "'mistral' attends in a sliding window"),
        (windowed_qwen, "'qwen2' attends in a sliding window"),
        (stretched, "'llama' has rotary positions of kind 'dynamic'"),
    ],
)
def test_a_model_of_another_kind_is_refused(
    tmp_path: Path, build: Callable[[], Any], message: str
) -> None:
    with pytest.raises(CheckpointError, match=re.escape(message)):
        write(build(), tmp_path / "generator")
    assert not (tmp_path / "generator").exists()


def test_a_tokenizer_with_more_ids_than_the_network_is_refused(tmp_path: Path) -> None:
    with pytest.raises(CheckpointError, match="ids beyond the network's 300"):
        write(tiny_language_model(vocab_size=300), tmp_path / "generator")
    assert not (tmp_path / "generator").exists()


def test_a_prefix_that_fills_the_context_is_refused(tmp_path: Path) -> None:
    with pytest.raises(CheckpointError, match="context of 128 tokens has no room"):
        write(tiny_language_model(), tmp_path / "generator", space=SPACE, prefix_tokens=120)


@pytest.mark.parametrize(("template", "expected"), [("</s> $A", BEGIN_ID), ("$A", None)])
def test_the_begin_of_a_text_is_what_the_tokenizer_puts_there(
    template: str, expected: int | None
) -> None:
    assert begin_id(tokenizer_with(template)) == expected


@pytest.mark.parametrize("template", ["$A </s>", "</s> $A </s>", "</s> </s> $A"])
def test_a_tokenizer_that_adds_other_tokens_is_refused(template: str) -> None:
    with pytest.raises(CheckpointError, match="more than one token before a text, or any behind"):
        begin_id(tokenizer_with(template))


def tokenizer_with(template: str) -> Any:
    tokenizer = tiny_tokenizer()
    tokenizer.backend_tokenizer.post_processor = processors.TemplateProcessing(
        single=template, special_tokens=[("</s>", BEGIN_ID)]
    )
    return tokenizer
