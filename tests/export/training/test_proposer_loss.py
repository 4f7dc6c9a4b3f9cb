import pytest
import torch

from triptych_export.training import proposer_loss
from triptych_export.training.proposer_batches import Writer
from triptych_export.training.proposer_loss import batch_loss, kinds_of
from triptych_export.training.proposer_model import build_model
from triptych_export.training.proposer_tokenizer import build_tokenizer

TOKENIZER = build_tokenizer()
KINDS = kinds_of(TOKENIZER)


def kind(word: str) -> int:
    return int(KINDS[TOKENIZER.convert_tokens_to_ids(f"\u0120{word}")])


def test_words_of_one_place_are_of_a_kind() -> None:
    assert kind("red") == kind("cyan") == kind("striped")
    assert kind("star") == kind("heart")
    assert kind("above") == kind("in")
    assert len({kind(word) for word in ("red", "star", "small", "grey", "top", "left", "on")}) == 7


def test_the_loss_counts_what_is_asked_for_shown_and_of_another_kind(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    torch.manual_seed(0)
    model, writer = build_model(TOKENIZER).eval(), Writer(TOKENIZER)
    batches = writer.batches([writer.list_text([(50, "a small red star")], "a large red star")])
    parts = {}
    for shown, hot in ((0.0, 0.0), (1.0, 0.0), (0.0, 1.0)):
        monkeypatch.setattr(proposer_loss, "SHOWN_WEIGHT", shown)
        monkeypatch.setattr(proposer_loss, "HOT_WEIGHT", hot)
        parts[shown, hot] = batch_loss(model, batches, KINDS).item()
    uniform = float(torch.tensor(float(len(TOKENIZER))).log())
    assert parts[0.0, 0.0] == pytest.approx(uniform, abs=0.3)
    assert parts[1.0, 0.0] - parts[0.0, 0.0] == pytest.approx(uniform, abs=0.3)
    # Of a kind are many tokens, so it is less unlikely than the token itself.
    assert 0 < parts[0.0, 1.0] - parts[0.0, 0.0] < uniform
    assert all(part > 0 for part in parts.values())


def test_the_loss_reaches_every_weight() -> None:
    model, writer = build_model(TOKENIZER), Writer(TOKENIZER)
    batch_loss(model, writer.batches([writer.list_text([], "a red star")]), KINDS).backward()
    assert all(parameter.grad is not None for parameter in model.parameters())
