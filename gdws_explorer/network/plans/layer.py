"""The layers of a traced network, as values."""

from __future__ import annotations

from collections.abc import Collection, Mapping
from dataclasses import dataclass, replace
from functools import cached_property

from gdws_explorer.errors import PlanError
from gdws_explorer.network.plans.choices import Choice, Dense


@dataclass(frozen=True)
class Layer:
    """One convolution or linear layer, as one forward pass called it.

    name : its name in the model. kind : its class. weight_shape : `(M, C / groups, …)`.
    in_size, out_size : spatial sizes `(H, W)` at the first call, `()` for a linear layer.
    calls : how often one forward pass uses it.
    in_positions, out_positions : positions per example, summed over the calls; mid_positions :
        output rows by input columns of a 2-D convolution.
    groups : 1 for a linear layer.
    macs, params, bytes : of the dense layer, for one example (MACs over all calls).
    itemsize : bytes of one weight. bias : whether it has a bias.
    families : names of the families that can approximate it.
    reasons : why the other families cannot, by the family's name.
    """

    name: str
    kind: str
    weight_shape: tuple[int, ...]
    in_size: tuple[int, ...]
    out_size: tuple[int, ...]
    calls: int
    in_positions: int
    mid_positions: int
    out_positions: int
    groups: int
    macs: int
    params: int
    bytes: int
    itemsize: int
    bias: bool
    families: tuple[str, ...]
    reasons: Mapping[str, str]

    def without(self, reasons: Mapping[str, str]) -> Layer:
        """Returns the layer without some families; reasons : why, by the family's name."""
        remaining = tuple(family for family in self.families if family not in reasons)
        return replace(self, families=remaining, reasons={**self.reasons, **reasons})

    def __str__(self) -> str:
        return self.label

    @cached_property
    def label(self) -> str:
        """Its name and size, such as "conv1 · 3→32 · 3×3"."""
        out, per_group, *kernel = self.weight_shape
        size = "×".join(map(str, kernel))
        return f"{self.name} · {per_group}→{out}" + (f" · {size}" if size else "")


@dataclass(frozen=True, eq=False)
class LayerSet:
    """The layers of one network, in call order.

    layers : every layer that the forward pass calls. names : those that plans give a choice.
    skip : names of layers that budgets leave dense unless they are given other ones.
    """

    layers: tuple[Layer, ...]
    names: tuple[str, ...]
    skip: frozenset[str]

    @cached_property
    def by_name(self) -> dict[str, Layer]:
        """The layers by their names."""
        return {layer.name: layer for layer in self.layers}

    @cached_property
    def approximable(self) -> tuple[Layer, ...]:
        """The layers that plans give a choice."""
        return tuple(self.by_name[name] for name in self.names)

    @property
    def obstacle(self) -> str:
        """The largest layer that must stay dense, and why, as ": name, …"; "" without one."""
        stuck = [layer for layer in self.layers if not layer.families]
        if not stuck:
            return ""
        layer = max(stuck, key=lambda each: each.macs)
        return f": {layer.name} stays dense, because {next(iter(layer.reasons.values()))}"

    def layer(self, name: str) -> Layer:
        """Returns the layer of a name. Raises PlanError."""
        try:
            return self.by_name[name]
        except KeyError:
            raise PlanError(
                f"the network has no layer {name!r}; it has {', '.join(self.by_name)}."
            ) from None

    def check_names(self, names: Collection[str]) -> None:
        """Raises PlanError unless all names are names of layers."""
        if isinstance(names, str):
            raise PlanError(f"skip is the text {names!r}; expected a collection of layer names.")
        for name in names:
            self.layer(name)

    def fixed_choices(
        self, skip: Collection[str] | None = None, fixed: Mapping[str, Choice] | None = None
    ) -> dict[str, Choice]:
        """Returns the choices that a budget must keep, by the layer's name.

        skip : names of layers that stay dense; None for `self.skip`. fixed : choices that stay;
        they win over skip. Raises PlanError for unknown names.
        """
        if skip is not None:
            self.check_names(skip)
        skipped = self.skip if skip is None else frozenset(skip)
        for name in fixed or {}:
            if name not in self.names:
                self.layer(name)
                raise PlanError(f"{name} cannot be fixed: it can only stay dense.")
        return {**{n: Dense() for n in self.names if n in skipped}, **(fixed or {})}
