"""The shapes that a TensorRT engine is built for.

An engine takes the shapes of its optimisation profiles and no others, and is fastest at each one's
preferred shape. Texts are filled to a few lengths, so there is a profile for each: it takes the
lengths above the next shorter one too, as config.pbtxt says that the encoder does. Triton chooses
the profile that a request fits, among those that `instance_group` lists.
"""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from itertools import pairwise

from triptych_export.config import Batching, Tensor

Shape = tuple[int, ...]
_SEQUENCE = "sequence"
# Gateways compare several texts with one picture.
_ALONE = "pictures"


@dataclass(frozen=True, slots=True)
class Profile:
    """The least, preferred and greatest shape of each input."""

    least: Mapping[str, Shape]
    preferred: Mapping[str, Shape]
    greatest: Mapping[str, Shape]


def profiles(
    inputs: Sequence[Tensor],
    axes: Mapping[str, Mapping[int, str]],
    batching: Batching,
    lengths: Sequence[int],
) -> tuple[Profile, ...]:
    """A profile for each of the ascending `lengths` of the axis "sequence"; one if it has none.

    The other dynamic axes of `axes` count rows: from 1 to the greatest batch, preferably as many as
    servers wait for.
    """

    def shapes(rows: int, pictures: int, length: int) -> dict[str, Shape]:
        sizes = {_SEQUENCE: length, _ALONE: pictures}
        return {
            tensor.name: tuple(
                sizes.get(axes[tensor.name][place], rows) if place in axes[tensor.name] else size
                for place, size in enumerate(tensor.shape)
            )
            for tensor in inputs
        }

    most = batching.max_batch_size
    usual = max((size for size in batching.preferred if size <= most), default=most)
    return tuple(
        Profile(
            least=shapes(1, 1, shorter + 1),
            preferred=shapes(usual, 1, length),
            greatest=shapes(most, most, length),
        )
        for shorter, length in pairwise((0, *(lengths or (1,))))
    )


def whole(every: Sequence[Profile]) -> Profile:
    """One profile that takes all that several do, for engines of one."""
    return Profile(every[0].least, every[len(every) // 2].preferred, every[-1].greatest)


def written(shapes: Mapping[str, Shape]) -> str:
    """Shapes as `trtexec` and ONNX Runtime take them: `pixels:8x224x224x3,...`."""
    return ",".join(f"{name}:{'x'.join(map(str, shape))}" for name, shape in shapes.items())
