"""The state of a training under way, for a progress display."""

from __future__ import annotations

from gdws_explorer.training.callbacks import EpochRecord, StepInfo
from gdws_explorer.training.cstar_style.admm import AdmmHistory
from gdws_explorer.training.cstar_style.cstar_training import CstarProgress
from gdws_explorer.training.finetuning import CompressedModel
from gdws_explorer.typing import Progress


class TrainingProgress:
    """The epochs of one training: first those towards low rank, then those of the factors.

    planned : the number of epochs of both kinds; `(0, epochs)` for fine-tuning.
    low_rank, factors : the finished epochs. rounds : the ADMM rounds so far, or None.
    fraction : finished, in [0, 1]. epoch : the current epoch, counted through both kinds; 0 before
    the first step.
    changed : whether the last update brought an epoch or an ADMM round.
    """

    def __init__(self, planned: tuple[int, int]) -> None:
        self.planned = planned
        self.low_rank: tuple[EpochRecord, ...] = ()
        self.factors: tuple[EpochRecord, ...] = ()
        self.rounds: AdmmHistory | None = None
        self.fraction = 0.0
        self.epoch = 0
        self.changed = False
        self._first: tuple[float, float] | None = None  # time and fraction of the first update

    def update(self, progress: Progress, now: float) -> None:
        """Stores the progress after a step. now : a clock's seconds."""
        before = self.length
        self.fraction = float(progress)
        if self._first is None:
            self._first = now, self.fraction
        detail: StepInfo | CstarProgress = progress.detail
        if isinstance(detail, StepInfo):
            self.factors, self.epoch = detail.history, detail.epoch
        else:
            self.rounds = detail.rounds
            if detail.phase == "low rank":
                self.low_rank, self.epoch = detail.step.history, detail.step.epoch
            else:
                self.low_rank, self.factors = detail.low_rank, detail.step.history
                self.epoch = len(self.low_rank) + detail.step.epoch
        self.changed = self.length != before

    def finish(self, result: CompressedModel) -> None:
        """Stores all epochs of the result, the last one included."""
        self.low_rank, self.factors, self.rounds = result.low_rank, result.entries, result.rounds
        self.fraction, self.epoch = 1.0, sum(self.length[:2])

    @property
    def epochs(self) -> int:
        """The largest number of epochs of both kinds together."""
        return sum(self.planned)

    @property
    def last(self) -> EpochRecord | None:
        """The last finished epoch; None before the end of the first."""
        return next(iter(self.factors[-1:] or self.low_rank[-1:]), None)

    @property
    def length(self) -> tuple[int, int, int]:
        """The numbers of finished epochs of each kind and of ADMM rounds."""
        rounds = 0 if self.rounds is None else len(self.rounds.cost)
        return len(self.low_rank), len(self.factors), rounds

    def seconds_left(self, now: float) -> float | None:
        """Returns the estimated seconds left, from the speed since the first update; or None."""
        if self._first is None:
            return None
        first_time, first_fraction = self._first
        done = self.fraction - first_fraction
        return (now - first_time) * (1 - self.fraction) / done if done > 0 else None
