"""An order on its way, in this process or others."""

from __future__ import annotations

import threading
import time
from collections.abc import Callable, Collection, Iterable, Iterator

import numpy as np

from gdws_explorer.explore.aim import Aim
from gdws_explorer.explore.attacking import learning
from gdws_explorer.explore.batch import Batch, Progress
from gdws_explorer.explore.measurements import Measurements
from gdws_explorer.explore.meter import Meter
from gdws_explorer.explore.orders import Hunt, Order, Sweep, first_meter
from gdws_explorer.explore.pareto import FloatArray
from gdws_explorer.explore.records import Record
from gdws_explorer.explore.sources import Sources
from gdws_explorer.explore.workers import crew
from gdws_explorer.network.plan import Plan

OFTEN = 0.1  # seconds between two words about progress


class Errand:
    """An order on its way: one after the other its plans are measured, and the records kept.

    arrived : called with every record that is new in the present setting. moved : called when the
    progress moves, ten times a second at most. workers : processes of this machine, None for this
    one. limit : measure only so many plans.
    """

    def __init__(
        self,
        order: Order,
        measured: Measurements,
        sources: Sources,
        *,
        workers: int | None = None,
        limit: int | None = None,
        arrived: Callable[[Record], None] = lambda record: None,
        moved: Callable[[Progress], None] = lambda progress: None,
    ) -> None:
        self.order = order
        self.stage = ""
        self.records: list[Record] = []  # of the first setting, as they came
        self.aim: Aim | None = None
        self.progress = Progress()
        self._measured = measured
        self._meter = measured.meter(sources.plain)  # the setting may change meanwhile
        self._sources = sources
        self._workers = workers
        self._limit = limit
        self._arrived = arrived
        self._moved = moved
        self._batch: Batch | None = None
        self._going = threading.Event()
        self._going.set()
        self._said = 0.0

    @property
    def paused(self) -> bool:
        """Whether it waits to be resumed."""
        return not self._going.is_set()

    def pause(self) -> None:
        """Begin no further plan; what is under way is measured and kept."""
        self._going.clear()
        if self._batch is not None:
            self._batch.pause()

    def resume(self) -> None:
        """Go on after a pause."""
        self._going.set()
        if self._batch is not None:
            self._batch.resume()

    @property
    def growth(self) -> FloatArray:
        """The hypervolume after every record of the first setting: `(n,)`."""
        if self.aim is None:
            return np.empty(0)
        return np.asarray(self.aim.growth(list(self.records)), dtype=np.float64)

    def work(self, progress: Callable[[float], None], cancelled: Callable[[], bool]) -> None:
        """Do it; made for `Jobs`. Raises Cancelled, and what a measurement raises."""
        under = learning(self._meter.attack)
        order = self.order
        self.stage = "reading images" if order.sources != ("weights",) or order.alpha else ""
        networks = self._sources.views(
            order.sources, under, alpha=order.alpha, progress=progress, cancel=cancelled
        )
        now = self._meter
        last = Meter(networks, now.data, now.attack, now.n, now.seed, now.images)
        first = first_meter(order, last)
        if isinstance(order, Sweep):
            self.stage = ""
            self.aim = Aim(networks[0], _objectives(last))
            self._run(last, order.plans(networks), progress, cancelled, self._keep)
            return
        self.stage = "screening" if first is not last else ""
        finder = order.finder(networks)
        self.aim = finder.aim

        def learn(record: Record) -> None:
            finder.tell(record)
            self._keep(record)

        total = order.evaluations
        self._run(first, finder.plans(), progress, cancelled, learn, total=total)
        if first is not last and self._limit is None:
            self.stage = "the front under the strong attack"
            plans = tuple(record.plan for record in finder.aim.front(self.records))
            self._run(last, plans, progress, cancelled, self._arrived)

    def _keep(self, record: Record) -> None:
        self.records.append(record)
        self._arrived(record)

    def _run(
        self,
        meter: Meter,
        plans: Iterable[Plan],
        progress: Callable[[float], None],
        cancelled: Callable[[], bool],
        learn: Callable[[Record], None],
        total: int | None = None,
    ) -> None:
        if self._limit is not None:
            known = {record.plan.hash for record in self._measured.records(meter.setting)}
            plans, total = _up_to(plans, known, self._limit), None

        def say(now: Progress) -> None:
            self.progress = now
            moment = time.monotonic()
            if moment - self._said >= OFTEN or now.done == now.total:
                self._said = moment
                progress(now.fraction)
                self._moved(now)

        self._batch = self._measured.batch(
            plans, meter=meter, total=total, record=learn, progress=say, cancel=cancelled
        )
        if self.paused:
            self._batch.pause()
        ahead = 1 if isinstance(self.order, Hunt) else 2  # as in gx.search
        with crew(meter, workers=self._workers, ahead=ahead) as those:
            self._batch.run(those)


def _objectives(meter: Meter) -> tuple[str, ...]:
    return ("clean" if meter.attack is None else "robust", "macs")


def _up_to(plans: Iterable[Plan], known: Collection[str], limit: int) -> Iterator[Plan]:
    """Plans until so many of them are not known; a search has to hear of the others too."""
    fresh = 0
    for plan in plans:
        yield plan
        fresh += plan.hash not in known
        if fresh == limit:
            return
