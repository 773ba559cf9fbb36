"""How often a network is right, and how often it still is when the images are attacked."""

from __future__ import annotations

import time
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from typing import Any, Literal

import numpy as np
import torch
from torch import Tensor, nn

from gdws_explorer.errors import DataError, ModelError
from gdws_explorer.network.build import densify
from gdws_explorer.robust.attacks import Attack, attack_from_dict, check_attack
from gdws_explorer.robust.guard import (
    Cancel,
    Watched,
    asked_to_stop,
    device_of,
    dtype_of,
    grads_off,
    own_copy,
    own_randomness,
    threads,
)
from gdws_explorer.robust.images import check_data, check_logits, choose
from gdws_explorer.robust.interval import wilson

BATCH = 60
# Below this many values in a batch torch's threads wait more than they work: 360 digits under
# PGD-20 take 1.1 s with one thread, busy neighbour or not, and with two 0.8 s on an idle machine
# but 3 to 50 s beside another busy process (a browser, a second kernel).
SMALL_BATCH = 2**14


@dataclass(frozen=True)
class Partial:
    """What is known so far: of the first `done` of n images, how many were right."""

    done: int
    n: int
    clean_correct: int
    robust_correct: int | None


@dataclass(frozen=True)
class Report:
    """A finished measurement.

    clean, robust : fractions of n; robust is None without an attack. An image counts as robust
        if the network is right on it and on its attacked twin.
    clean_correct, robust_correct : the same as numbers of images.
    attack : what attacked, or None. seed : which images and which noise.
    seconds : wall-clock time. through : "dense" or "layers", see `evaluate`.
    clean_mask, robust_mask : bool arrays `(n,)`, the verdict on each measured image in the
        order of the data, for comparing two plans image by image.
    """

    clean_correct: int
    robust_correct: int | None
    n: int
    attack: Attack | None
    seed: int
    seconds: float
    through: str = "dense"
    clean_mask: np.ndarray | None = field(default=None, compare=False, repr=False)
    robust_mask: np.ndarray | None = field(default=None, compare=False, repr=False)

    @property
    def clean(self) -> float:
        """Fraction right on the images as they are."""
        return self.clean_correct / self.n

    @property
    def robust(self) -> float | None:
        """Fraction right under attack."""
        return None if self.robust_correct is None else self.robust_correct / self.n

    @property
    def clean_interval(self) -> tuple[float, float]:
        """95 % Wilson interval of `clean`."""
        return wilson(self.clean_correct, self.n)

    @property
    def robust_interval(self) -> tuple[float, float] | None:
        """95 % Wilson interval of `robust`."""
        return None if self.robust_correct is None else wilson(self.robust_correct, self.n)

    def __str__(self) -> str:
        low, high = self.clean_interval
        text = f"clean {self.clean:.1%} ({low:.1%} to {high:.1%})"
        if self.attack is not None and self.robust is not None and self.robust_interval is not None:
            low, high = self.robust_interval
            text += f", {self.attack.label} {self.robust:.1%} ({low:.1%} to {high:.1%})"
        return f"{text}, n {self.n}"

    def to_dict(self) -> dict[str, Any]:
        """JSON-ready; `from_dict` gives back an equal report. Masks are strings of 0 and 1."""
        return {
            "clean": self.clean,
            "clean_correct": self.clean_correct,
            "clean_interval": list(self.clean_interval),
            "robust": self.robust,
            "robust_correct": self.robust_correct,
            "robust_interval": None if self.robust_interval is None else list(self.robust_interval),
            "n": self.n,
            "attack": None if self.attack is None else self.attack.to_dict(),
            "seed": self.seed,
            "seconds": self.seconds,
            "through": self.through,
            "clean_mask": _digits(self.clean_mask),
            "robust_mask": _digits(self.robust_mask),
        }

    @classmethod
    def from_dict(cls, raw: Mapping[str, Any]) -> Report:
        """Read what `to_dict` wrote."""
        try:
            return cls(
                clean_correct=raw["clean_correct"],
                robust_correct=raw["robust_correct"],
                n=raw["n"],
                attack=None if raw["attack"] is None else attack_from_dict(raw["attack"]),
                seed=raw["seed"],
                seconds=raw["seconds"],
                through=raw["through"],
                clean_mask=_mask(raw.get("clean_mask")),
                robust_mask=_mask(raw.get("robust_mask")),
            )
        except KeyError as error:
            raise DataError(f"the report lacks {error}; measure the network again.") from None


def evaluate(
    model: nn.Module,
    data: tuple[Any, Any],
    attack: Attack | None = None,
    *,
    n: int | None = None,
    seed: int = 0,
    batch_size: int = BATCH,
    through: Literal["dense", "layers"] = "dense",
    device: str | torch.device | None = None,
    progress: Callable[[float, Partial], None] | None = None,
    cancel: Cancel = None,
) -> Report:
    """Measure a network; its weights, buffers, modes and torch's random numbers stay as they are.

    Parameters
    ----------
    model : images `(B, C, H, W)` in [0, 1] to class scores `(B, classes)`; measured in eval mode.
    data : images `(N, C, H, W)` and labels `(N,)`, tensors or arrays.
    attack : `FGSM`, `PGD`, or None for clean accuracy only.
    n : how many images, the beginning of a seeded class-balanced sample; None for all.
    seed : chooses sample and noise. The noise is seeded per batch, so every plan meets the same
        noise on the same image (at equal `batch_size`).
    through : "dense" attacks GDWS and Tucker-2 layers through their rebuilt kernel (equal up to
        rounding, faster), "layers" the layers themselves.
    device : where to compute; the model's device unless given.
    progress : called before every forward pass with the fraction done and what is known so far.
    cancel : an Event or a function; looked at before every forward pass.

    Raises
    ------
    ModelError, DataError : what was given cannot be measured. Cancelled : `cancel` said so.
    """
    started = time.perf_counter()
    _check_options(attack, through, batch_size, seed)
    # A caller's no_grad or inference mode must not reach the attack's gradients.
    with torch.inference_mode(False), torch.enable_grad():
        mine = own_copy(model)
        mine = densify(mine) if through == "dense" else mine
        images, labels = check_data(data)
        chosen = choose(labels, n, seed)
        where = _device(device, mine)
        mine = mine.to(where).eval()
        x = images[chosen.to(images.device)].to(where, dtype_of(mine))
        y = labels[chosen.to(labels.device)].to(where)
        tally = _Tally(len(y), batch_size, attack, progress)
        watched = Watched(mine, cancel, tally.tick).eval()
        small = x[0].numel() * batch_size <= SMALL_BATCH
        wanted = 1 if small else torch.get_num_threads()
        with own_randomness(where), grads_off(watched), threads(wanted):
            strike = None if attack is None else attack.bind(watched)
            for start in range(0, len(y), batch_size):
                part = slice(start, start + batch_size)
                torch.manual_seed(_batch_seed(seed, start))
                tally.add(part, *_verdicts(watched, strike, x[part], y[part]))
        asked_to_stop(cancel)
        tally.report()
    back = torch.argsort(chosen).numpy()
    clean, robust = tally.clean.numpy()[back], tally.robust.numpy()[back]
    return Report(
        clean_correct=int(clean.sum()),
        robust_correct=None if attack is None else int(robust.sum()),
        n=len(y),
        attack=attack,
        seed=seed,
        seconds=time.perf_counter() - started,
        through=through,
        clean_mask=clean,
        robust_mask=None if attack is None else robust,
    )


def _verdicts(
    model: nn.Module, strike: Callable[[Tensor, Tensor], Tensor] | None, x: Tensor, y: Tensor
) -> tuple[Tensor, Tensor]:
    """Right as they are, and right under attack too: bool `(B,)` each."""
    clean = _right(model, x, y)
    if strike is None:
        return clean, clean
    # Images already missed are attacked as well: dropping them would give every plan other noise.
    return clean, clean & _right(model, strike(x, y), y)


def _right(model: nn.Module, x: Tensor, y: Tensor) -> Tensor:
    with torch.no_grad():
        scores = check_logits(model(x), y)
        # A row with a NaN has no largest entry: it counts as wrong, wherever argmax points.
        return ((scores.argmax(1) == y) & torch.isfinite(scores).all(1)).cpu()


class _Tally:
    """Verdicts as they come in, and what the progress bar is told of them."""

    def __init__(
        self,
        n: int,
        batch_size: int,
        attack: Attack | None,
        progress: Callable[[float, Partial], None] | None,
    ) -> None:
        self.clean = torch.zeros(n, dtype=torch.bool)
        self.robust = torch.zeros(n, dtype=torch.bool)
        self.done = 0
        self._attacked = attack is not None
        self._progress = progress
        self._passes = 0
        per_batch = 1 if attack is None else attack.forwards + 2
        self._total = per_batch * -(-n // batch_size)

    def add(self, part: slice, clean: Tensor, robust: Tensor) -> None:
        self.clean[part], self.robust[part] = clean, robust
        self.done += len(clean)

    def tick(self) -> None:
        self.report()
        self._passes += 1

    def report(self) -> None:
        if self._progress is not None:
            n = len(self.clean)
            robust = int(self.robust.sum()) if self._attacked else None
            partial = Partial(self.done, n, int(self.clean.sum()), robust)
            self._progress(min(1.0, self._passes / self._total), partial)


def _check_options(attack: object, through: object, batch_size: object, seed: object) -> None:
    if attack is not None:
        check_attack(attack)
    if through not in ("dense", "layers"):
        raise DataError(f"through is {through!r}; expected 'dense' or 'layers'.")
    for name, value, least in (("batch_size", batch_size, 1), ("seed", seed, 0)):
        if isinstance(value, bool) or not isinstance(value, int | np.integer) or value < least:
            raise DataError(f"{name} is {value!r}; expected a whole number from {least} up.")


def _device(device: str | torch.device | None, model: nn.Module) -> torch.device:
    if device is None:
        return device_of(model)
    try:
        return torch.empty(0, device=device).device
    except (RuntimeError, AssertionError) as error:
        reason = str(error).splitlines()[0]
        raise ModelError(f"device {device!r} cannot be used ({reason}); try 'cpu'.") from None


def _batch_seed(seed: int, start: int) -> int:
    """Different for every batch; equal for every plan."""
    return int(np.random.SeedSequence([seed, start]).generate_state(1)[0])


def _digits(mask: np.ndarray | None) -> str | None:
    return None if mask is None else "".join("1" if right else "0" for right in mask)


def _mask(digits: str | None) -> np.ndarray | None:
    return None if digits is None else np.array([digit == "1" for digit in digits], dtype=bool)
