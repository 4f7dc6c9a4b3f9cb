"""Whether networks that bear one model's name can be one model."""

from collections.abc import Sequence

from triptych_server.engines.encoders import EncoderSpec
from triptych_server.engines.encoders.spec import PREFIX, SIGNATURES
from triptych_server.engines.generators.spec import GeneratorSpec


def encoders_disagree(model: str, specs: Sequence[EncoderSpec]) -> str:
    """Why these encoders cannot be one model; empty if they can."""
    if len({spec.role for spec in specs}) < len(specs):
        names = ", ".join(spec.name for spec in specs)
        return f"{model}: more than one encoder of a role: {names}"
    spaces = {spec.space for spec in specs}
    if len(spaces) > 1:
        return f"{model}: the encoders are of different spaces: {', '.join(sorted(spaces))}"
    patches = {(spec.patch_space, spec.patches) for spec in specs if spec.patches}
    if len(patches) > 1:
        names = ", ".join(spec.name for spec in specs if spec.patches)
        return f"{model}: the encoders are of different patches: {names}"
    return ""


def generators_disagree(
    model: str, generators: Sequence[GeneratorSpec], encoders: Sequence[EncoderSpec]
) -> str:
    """Why this generator cannot continue the prefixes of these encoders; empty if it can."""
    if len(generators) > 1:
        names = ", ".join(spec.name for spec in generators)
        return f"{model}: more than one generator: {names}"
    for generator in generators:
        taken = (generator.prefix_tokens, generator.hidden_size)
        for encoder in encoders:
            if encoder.space != generator.space:
                return (
                    f"{model}: the generator {generator.name} is of the space "
                    f"{generator.space or 'of none'}, the encoder {encoder.name} of {encoder.space}"
                )
            if SIGNATURES[encoder.role].output == PREFIX and encoder.output != taken:
                return (
                    f"{model}: the generator {generator.name} takes prefixes of {list(taken)}, "
                    f"the encoder {encoder.name} gives {list(encoder.output)}"
                )
    return ""
