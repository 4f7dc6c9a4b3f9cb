"""The fewest layers that must stay in fp32 for a graph of 16 bits to be like its checkpoint."""

import math
from collections.abc import Collection, Sequence
from functools import cached_property
from pathlib import Path

import numpy as np

from triptych_export.casts import Reduced, layers
from triptych_export.parity import (
    FLOORS,
    Network,
    OnnxNetwork,
    Parity,
    Samples,
    compare,
    output_scale,
    passing,
    rows,
)
from triptych_export.ranges import peaks
from triptych_export.rounding import write_rounded


class Trials:
    """Tries sets of layers of the fp32 graph `source` on samples, writing beside it.

    The layers outside of the set are rounded as `reduced`.
    """

    def __init__(
        self, source: Path, reduced: Reduced, output: str, samples: Sequence[Samples]
    ) -> None:
        self._source, self._reduced = source, reduced
        self._output, self._samples = output, samples
        self._floor = FLOORS[reduced.precision]
        self._values = layers(source, reduced)
        # Sets that were tried, with the figures of those that reach the floor.
        self._tried: dict[frozenset[str], Parity | None] = {}

    @property
    def layers(self) -> Collection[str]:
        """All layers that can be reduced, in the order of the graph."""
        return self._values.keys()

    def compare(self, keep: Collection[str]) -> Parity:
        """All figures with the layers `keep` in fp32."""
        known = self._tried.get(frozenset(keep))
        return known or compare(self._network(keep), self._output, self._samples)

    def smallest(self) -> frozenset[str]:
        """A set that reaches the floor, as no set without one of its members does; or all layers.

        Layers whose values leave the type's range come first, then those that alone move the output
        most; then every layer that is not needed is let go, the least harmful first.
        """
        if self._passes(frozenset()):
            return frozenset()
        order = sorted(self.overflowing, key=lambda layer: -self.overflowing[layer])
        keep, every = frozenset(order), frozenset(self.layers)
        if not keep or not self._passes(keep):
            if not self._passes(every):
                return every
            others = sorted(every - keep, key=lambda layer: (-self.harm[layer], layer))
            order += others[: self._fewest(keep, others)]
        return self._without_idle(order)

    def worst(self, keep: Collection[str]) -> str:
        """The most harmful layer outside of `keep`, in words."""
        peaks = {layer: peak for layer, peak in self.overflowing.items() if layer not in keep}
        if peaks:
            layer = max(peaks, key=peaks.__getitem__)
            type_end = f"{self._reduced.precision} ends at {self._reduced.greatest:.0f}"
            return f"{layer}, whose values reach {peaks[layer]:.0f} ({type_end})"
        harm = {layer: harm for layer, harm in self.harm.items() if layer not in keep}
        layer = max(harm, key=harm.__getitem__)
        return f"{layer}, which alone moves the output by {harm[layer]:.1e}"

    @cached_property
    def overflowing(self) -> dict[str, float]:
        """Layers with values beyond the type's range, and the greatest of each."""
        every = {name for names in self._values.values() for name in names}
        found = peaks(self._source, every, self._samples)
        reached = {
            layer: max(found.get(name, 0.0) for name in names)
            for layer, names in self._values.items()
        }
        return {layer: peak for layer, peak in reached.items() if peak > self._reduced.greatest}

    @cached_property
    def harm(self) -> dict[str, float]:
        """How far each layer moves the output when it alone is rounded."""
        every = frozenset(self.layers)
        return {layer: self._distance(self._network(every - {layer}), 1) for layer in every}

    def _passes(self, keep: frozenset[str]) -> bool:
        if keep not in self._tried:
            network, figures = self._network(keep), None
            # One batch of each group tells most failures.
            if self._distance(network, len(self._samples)) <= self._floor.difference:
                figures = passing(network, self._output, self._samples, self._floor)
            self._tried[keep] = figures
        return self._tried[keep] is not None

    def _fewest(self, keep: frozenset[str], others: Sequence[str]) -> int:
        """How many of `others`, from the first, suffice beside `keep`."""
        low, high = 0, len(others)
        while high - low > 1:
            middle = (low + high) // 2
            if self._passes(keep.union(others[:middle])):
                high = middle
            else:
                low = middle
        return high

    def _without_idle(self, order: Sequence[str]) -> frozenset[str]:
        keep, before = frozenset(order), None
        while keep != before:
            before = keep
            for layer in reversed(order):
                if layer in keep and self._passes(keep - {layer}):
                    keep -= {layer}
        return keep

    def _network(self, keep: Collection[str]) -> Network:
        path = self._source.with_name("rounded.onnx")
        write_rounded(self._source, path, self._reduced, keep)
        return OnnxNetwork(path, self._output)

    def _distance(self, network: Network, groups: int) -> float:
        """The greatest difference over the first groups, a group a batch; never a NaN."""
        found = [
            np.abs(network(group.inputs, group.shared) - rows(group.reference)).max()
            for group in self._samples[:groups]
        ]
        distance = float(np.max(found)) / output_scale(self._output, self._samples)
        return math.inf if math.isnan(distance) else distance
