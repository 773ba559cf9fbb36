"""Replaces layers of a model: by factorised ones, and back by dense ones."""

from __future__ import annotations

from collections.abc import Callable

import torch
from torch import nn

from gdws_explorer.errors import ModelError, PlanError
from gdws_explorer.network.plans.choices import Choice, Dense, family_of
from gdws_explorer.network.plans.families import FACTORISED, FAMILIES
from gdws_explorer.network.plans.plan import Plan
from gdws_explorer.utils.model_state import state_tensors
from gdws_explorer.utils.modules import deep_copy


def with_layers(model: nn.Module, make: Callable[[str, nn.Module], nn.Module | None]) -> nn.Module:
    """Returns a deep copy of `model` with some modules replaced.

    make : called with every module's name and the module; returns its replacement, or None to
    leave it. A module with two names is passed once and replaced under both.
    """
    mine = deep_copy(model)
    for name, module in list(mine.named_modules()):
        new = make(name, module)
        if new is not None:
            new.train(module.training)
            # The object itself becomes the new module, as torch's lazy modules do: a forward
            # that reaches it through a plain list or an alias then finds the new module too.
            module.__class__, module.__dict__ = type(new), new.__dict__
    return mine


def densify(model: nn.Module) -> nn.Module:
    """Returns a copy whose factorised layers are dense layers with the rebuilt kernel.

    The outputs are equal up to rounding; with G > C attacks are faster on the copy.
    """

    def make(_name: str, module: nn.Module) -> nn.Module | None:
        return module.dense() if isinstance(module, FACTORISED) else None  # type: ignore[operator]

    return with_layers(model, make)


def check_same_architecture(model: nn.Module, dense: nn.Module) -> None:
    """Raises ModelError unless both models have tensors of equal names and shapes."""
    mine, theirs = ({n: t.shape for n, t in state_tensors(m).items()} for m in (model, dense))
    different = next((n for n in [*theirs, *mine] if mine.get(n) != theirs.get(n)), None)
    if different is not None:
        raise ModelError(
            f"{different} is {_shape(mine.get(different))} in the model and "
            f"{_shape(theirs.get(different))} in the "
            "network; expected this network, trained further or compressed."
        )


def apply_structure(model: nn.Module, plan: Plan) -> nn.Module:
    """Returns a copy of a dense `model` with the plan's structure and new weights of zero.

    It is made for loading an exported state_dict, which also holds the GDWS gather index.
    """
    missing = [name for name, _ in plan if name not in dict(model.named_modules())]
    if missing:
        raise PlanError(
            f"the model has no layer {missing[0]!r}; expected the network the plan was made for."
        )
    choices = dict(plan.layers)

    def make(name: str, module: nn.Module) -> nn.Module | None:
        choice = choices.get(name)
        return None if choice is None else _structure(name, module, choice)

    return with_layers(model, make)


def _shape(shape: torch.Size | None) -> str:
    return "missing" if shape is None else str(tuple(shape))


def _structure(name: str, module: nn.Module, choice: Choice) -> nn.Module | None:
    """Returns the factorised layer of a choice with weights of zero, None for a dense layer."""
    if isinstance(choice, Dense):
        return None
    if not isinstance(module, nn.Conv2d | nn.Linear):
        raise PlanError(
            f"{name} is a {type(module).__name__}; the plan expects an nn.Conv2d or nn.Linear."
        )
    family = FAMILIES[family_of(choice)]
    why = family.why_not(module)
    if why is not None:
        raise PlanError(f"{name} cannot become {choice}: {why}.")
    return family.empty(module, choice)
