"""What to train with where nobody said otherwise."""

from __future__ import annotations

from typing import Any

from gdws_explorer.errors import DataError
from gdws_explorer.network.network import Network
from gdws_explorer.robust.attacks import PGD
from gdws_explorer.robust.spec import NORMS
from gdws_explorer.training.augment import LEAST
from gdws_explorer.training.recipe import Recipe
from gdws_explorer.training.task import FINETUNE

HELD_OUT = 0.1  # of the images
MOST_HELD_OUT = 1000
LEAST_IMAGES = 50  # below, none are held out
AVERAGE = 0.99  # decay of the averaged weights
# Epochs and learning rate, for images below 32 pixels and for photographs.
SMALL = {FINETUNE: (10, 0.03), "tucker2": (14, 0.05), "gdws": (14, 0.05)}
LARGE = {FINETUNE: (10, 0.01), "tucker2": (40, 0.05), "gdws": (40, 0.05)}


def usual(
    kind: str,
    network: Network,
    images: int,
    method: str = "pgd",
    eps: float | None = None,
    norm: str = "linf",
) -> Recipe:
    """The recipe for a kind of training (`task.KINDS`) on so many images.

    eps, norm : the ball of the attack; "standard" has none. Small images are learned from in
    batches of 64 under five steps of PGD; those of 32 pixels and more in batches of 128 with crops
    and flips, under ten. Raises DataError.
    """
    small = min(network.input_shape[1:]) < LEAST
    epochs, lr = (SMALL if small else LARGE)[kind]
    settings: dict[str, Any] = {"batch_size": 64} if small else {"batch_size": 128, "augment": True}
    if small and method in ("pgd", "trades"):
        settings["steps"] = 5
    if small and method == "pgd":
        settings["clean_weight"] = 0.3  # as the digits network itself learned
    if norm != "linf" and method != "standard":
        if method != "pgd" or eps is None:
            raise DataError(
                f"{method} attacks in the ℓ∞ ball, and plans are measured in {NORMS[norm]}; choose "
                "PGD here, or another attack there."
            )
        attack = PGD(eps, settings.pop("steps", 10), norm=norm)
        settings["attack"], eps = attack, None
    if images >= LEAST_IMAGES:
        settings["validation"] = min(HELD_OUT, MOST_HELD_OUT / images)
    return Recipe(
        method, epochs=epochs, lr=lr, eps=eps, average=AVERAGE, amp=network.example.is_cuda,
        **settings,
    )  # fmt: skip
