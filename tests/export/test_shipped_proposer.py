"""The proposer that ships is asked as it was trained, and its checkpoint comes back from it."""

from dataclasses import asdict
from pathlib import Path

import numpy as np
from transformers import OPTForCausalLM

from triptych_export.training.proposer_batches import PROPOSALS, prompt_text
from triptych_export.training.proposer_files import checkpoint_of
from triptych_export.training.proposer_tokenizer import as_checkpoint, build_tokenizer
from triptych_server.engines.generators.spec import read_spec

GENERATORS = Path(__file__).parents[2] / "generators"
PROPOSER = GENERATORS / "miniworld-proposer"


def test_it_is_asked_as_it_was_trained() -> None:
    spec = read_spec(PROPOSER)
    assert (spec.model, spec.source, spec.space) == (PROPOSER.name, PROPOSER.name, "")
    assert spec.proposals is not None
    assert asdict(spec.proposals) == PROPOSALS
    tokenizer = build_tokenizer()
    shipped = as_checkpoint((PROPOSER / spec.tokenizer.file).read_text(encoding="utf-8"))
    text = prompt_text([(7, "a small red star"), (83, "a dog")])
    assert shipped(text).input_ids == tokenizer(text).input_ids
    assert len(shipped) == len(tokenizer) == spec.vocabulary


def test_its_checkpoint_computes_what_its_graph_does(tmp_path: Path) -> None:
    checkpoint_of(PROPOSER, tmp_path / PROPOSER.name)  # raises where it does not
    model = OPTForCausalLM.from_pretrained(tmp_path / PROPOSER.name)
    table = np.load(PROPOSER / read_spec(PROPOSER).embedding.file)
    assert (model.get_input_embeddings().weight.detach().numpy() == table).all()


def test_every_shipped_generator_is_checked() -> None:
    shipped = {path.name for path in GENERATORS.iterdir() if path.is_dir()}
    assert shipped == {"miniworld-blip2", PROPOSER.name}
