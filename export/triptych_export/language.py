"""A checkpoint of a causal language model to a folder of the generators."""

from contextlib import ExitStack
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

from transformers import AutoModelForCausalLM

from triptych_export.decoder import check_architecture
from triptych_export.errors import CheckpointError
from triptych_export.generator import GeneratorReport, write_generator
from triptych_export.report import generator_lines
from triptych_export.repository import check_free, installed, staging
from triptych_export.source import Source
from triptych_server.engines.generators.spec import ProposalTemplates, SpecError, read_proposals

PROPOSALS_FILE = "proposals.json"


@dataclass(frozen=True, slots=True)
class LanguageReport:
    """One language model among the generators under the name `model`."""

    model: str
    source: str
    proposes: bool
    generator: GeneratorReport

    def to_json(self) -> dict[str, Any]:
        """All figures, as JSON's types."""
        return asdict(self)

    def __str__(self) -> str:
        proposes = ["it proposes texts"] if self.proposes else []
        head = f"{self.model}: from {self.source} in {self.generator.seconds:.0f} s"
        return "\n".join([head, *generator_lines(self.generator), *proposes])


def export_language(
    checkpoint: str | Path,
    generators: str | Path,
    *,
    name: str | None = None,
    proposals: Path | None = None,
    revision: str | None = None,
    overwrite: bool = False,
) -> LanguageReport:
    """Export the language model of `checkpoint` into a folder of `generators`, in fp32.

    `checkpoint` is a directory or a hub id at `revision`; `name` is the model's name for requests
    (default: the checkpoint's). A model that was trained to better scored texts has the forms of
    its prompts in the file `proposals` (default: proposals.json in a checkpoint's directory, if
    there is one). Raises an `ExportError`; the generators are then as they were.
    """
    source = Source.find(checkpoint, revision)
    check_architecture(source.config())
    forms = _forms(source, proposals)
    model, folder = name or source.name, Path(generators)
    check_free(folder, model, [model], overwrite)
    loaded, tokenizer = source.model(AutoModelForCausalLM), source.tokenizer()
    with ExitStack() as stack:
        staged = stack.enter_context(staging(folder))
        report = write_generator(
            loaded,
            tokenizer,
            staged / model,
            model=model,
            source=source.label,
            proposals=forms,
        )
        stack.enter_context(installed(staged, folder, [model]))
    return LanguageReport(model, source.label, forms is not None, report)


def _forms(source: Source, proposals: Path | None) -> ProposalTemplates | None:
    own = Path(source.where) / PROPOSALS_FILE
    path = proposals or (own if own.is_file() else None)
    try:
        return None if path is None else read_proposals(path)
    except SpecError as error:
        raise CheckpointError(f"{source.where}: {error}") from None
