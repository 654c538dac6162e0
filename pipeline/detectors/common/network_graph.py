"""Inputs and outputs of a network, found without running it."""

from __future__ import annotations

from dataclasses import dataclass

Shape = tuple[int | None, ...]

SIZE_INPUTS = ("orig_target_sizes", "orig_sizes", "target_sizes")


@dataclass(frozen=True, slots=True)
class Port:
    """Input or output of a network: names, sides (None: any), whether it holds whole numbers.

    `shape` is () where not even the number of dimensions is known.
    """

    names: frozenset[str]
    shape: Shape
    whole: bool = False

    @property
    def channels_last(self) -> bool:
        """Return whether it takes pictures with the colours last."""
        return self.shape[-1] == 3 and self.shape[-3] != 3

    def fits(self, *sides: int | None) -> bool:
        """Return whether it has that shape; None stands for any side, and any side fits 1."""
        pairs = zip(sides, self.shape, strict=False)
        return len(sides) == len(self.shape) and all(
            want is None or have == want or (have is None and want == 1) for want, have in pairs
        )


@dataclass(frozen=True, slots=True)
class Graph:
    """Facts about a network found without running it.

    `pixel_max` is the value of white, `score_classes` the number of classes in its scores,
    background included, `resized_to` the (height, width) to which it scales pictures itself; None
    if not found. `ends` holds the operation that each output comes from.
    """

    inputs: tuple[Port, ...]
    outputs: tuple[Port, ...]
    ends: tuple[str, ...] = ()
    pixel_max: int | None = None
    score_classes: int | None = None
    resized_to: tuple[int, int] | None = None

    @property
    def size_input(self) -> int | None:
        """Return the index of the input for the size that boxes refer to."""
        named = [not port.names.isdisjoint(SIZE_INPUTS) for port in self.inputs]
        return named.index(True) if True in named else None

    def output(self, *names: str) -> int | None:
        """Return the index of the output with one of these names."""
        named = [not port.names.isdisjoint(names) for port in self.outputs]
        return named.index(True) if True in named else None
