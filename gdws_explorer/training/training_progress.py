"""What a training under way has told so far, to be drawn and said."""

from __future__ import annotations

from gdws_explorer.training.callbacks import EpochRecord, StepInfo
from gdws_explorer.training.cstar_style.admm import AdmmHistory
from gdws_explorer.training.cstar_style.cstar_training import CstarProgress
from gdws_explorer.training.finetuning import CompressedModel


class TrainingProgress:
    """The epochs of one training, first those towards low rank, then those of the factors.

    planned : how many epochs of each there are to be; `(0, epochs)` for fine-tuning.
    low_rank, factors : the epochs that are over. rounds : what the projections found.
    fraction : done, in [0, 1]. epoch : under way, counted through both; 0 before the first step.
    """

    def __init__(self, planned: tuple[int, int]) -> None:
        self.planned = planned
        self.low_rank: tuple[EpochRecord, ...] = ()
        self.factors: tuple[EpochRecord, ...] = ()
        self.rounds: AdmmHistory | None = None
        self.fraction = 0.0
        self.epoch = 0
        self._first: tuple[float, float] | None = None  # when it was first heard of, and at what

    def hear(self, fraction: float, told: StepInfo | CstarProgress, now: float) -> bool:
        """Take in what a step told; whether that is more to draw. now : a clock's seconds."""
        before = self.length
        self.fraction = fraction
        if self._first is None:
            self._first = now, fraction
        if isinstance(told, StepInfo):
            self.factors, self.epoch = told.history, told.epoch
        else:
            self.rounds = told.rounds
            if told.phase == "low rank":
                self.low_rank, self.epoch = told.known.history, told.known.epoch
            else:
                self.low_rank, self.factors = told.low_rank, told.known.history
                self.epoch = len(self.low_rank) + told.known.epoch
        return self.length != before

    def finish(self, found: CompressedModel) -> None:
        """Take in what came of it, the last epochs with it."""
        self.low_rank, self.factors, self.rounds = found.low_rank, found.entries, found.rounds
        self.fraction, self.epoch = 1.0, sum(self.length[:2])

    @property
    def epochs(self) -> int:
        """How many there are to be, at most."""
        return sum(self.planned)

    @property
    def last(self) -> EpochRecord | None:
        """The latest epoch that is over."""
        return next(iter(self.factors[-1:] or self.low_rank[-1:]), None)

    @property
    def length(self) -> tuple[int, int, int]:
        """Epochs of each kind, and projections: another length, another picture."""
        rounds = 0 if self.rounds is None else len(self.rounds.cost)
        return len(self.low_rank), len(self.factors), rounds

    def seconds_left(self, now: float) -> float | None:
        """An estimate from what was done since it was first heard of; None before anything was."""
        if self._first is None:
            return None
        then, begun = self._first
        done = self.fraction - begun
        return (now - then) * (1 - self.fraction) / done if done > 0 else None
