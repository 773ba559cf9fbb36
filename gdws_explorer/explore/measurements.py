"""Measured plans of one network on one set of images, setting by setting."""

from __future__ import annotations

from collections.abc import Callable, Iterable
from pathlib import Path

from torch import Tensor

from gdws_explorer import files
from gdws_explorer.errors import DataError
from gdws_explorer.explore.attacking import Measure
from gdws_explorer.explore.meter import Meter
from gdws_explorer.explore.predict import predict
from gdws_explorer.explore.records import Record, Setting, csv_text
from gdws_explorer.explore.store import Store
from gdws_explorer.network.network import Network
from gdws_explorer.network.plan import Plan
from gdws_explorer.robust.images import data_fingerprint

SAMPLE = 360  # images measured unless the user says otherwise


class Measurements:
    """How plans are measured now, and what was measured so.

    data : images and labels, or None where nothing can be measured. attack, n, seed : the present
    setting; only records of this setting share a front. bundled : records that came with the
    network.
    """

    def __init__(
        self,
        network: Network,
        data: tuple[Tensor, Tensor] | None,
        attack: Measure,
        bundled: Iterable[Record] = (),
        store: Store | None = None,
    ) -> None:
        self.data = data
        self.attack = attack
        self.n = 0 if data is None else min(len(data[1]), SAMPLE)
        self.seed = 0
        self._network = network
        self._images = "" if data is None else data_fingerprint(*data)
        self._bundled = tuple(bundled)
        self._store = Store() if store is None else store
        self._known: tuple[Setting, tuple[Record, ...]] | None = None

    @property
    def setting(self) -> Setting:
        """What records must share to stand on the front."""
        attack = None if self.attack is None else self.attack.to_dict()
        return Setting(self._network.fingerprint, self._images, attack, self.n, self.seed)

    def change(self, attack: Measure, n: int) -> None:
        """Measure with this attack on n images from now on."""
        if self.data is not None and not 1 <= n <= len(self.data[1]):
            raise DataError(f"n is {n}; expected 1 to {len(self.data[1])}, the images there are.")
        self.attack, self.n = attack, n

    def records(self, setting: Setting | None = None) -> tuple[Record, ...]:
        """The records of one setting, bundled ones first; a plan's latest wins.

        setting : the present one unless given.
        """
        setting, known = setting or self.setting, self._known
        if known is None or known[0] != setting:  # asked at every move of a fader: looked up once
            bundled = [r for r in self._bundled if r.setting.key == setting.key]
            latest = {r.plan.hash: r for r in (*bundled, *self._store.records(setting))}
            known = self._known = setting, tuple(latest.values())
        return known[1]

    def others(self) -> int:
        """How many records of this network were measured in other settings."""
        key = self.setting.key
        mine = self._store.records(fingerprint=self._network.fingerprint)
        return sum(r.setting.key != key for r in (*self._bundled, *mine))

    def of(self, plan: Plan) -> Record | None:
        """The record of a plan in the present setting, if there is one."""
        return next((r for r in self.records() if r.plan == plan), None)

    def predicted(self, plan: Plan, error: float, metric: str) -> float | None:
        """Where an unmeasured plan of this relative error should land.

        Judged by the records of plans made from the same source: errors in weights and in outputs
        are not the same.
        """
        alike = (r for r in self.records() if r.plan.calibration == plan.calibration)
        return predict(alike, error, metric)

    def add(self, record: Record) -> None:
        """Keep a record that somebody else measured."""
        self._store.add(record)
        self._known = None

    def meter(self, *networks: Network) -> Meter:
        """How plans of these networks are measured in the setting of this moment."""
        if self.data is None:
            raise DataError("there are no images to measure on; open with data=(images, labels).")
        return Meter(networks, self.data, self.attack, self.n, self.seed, self._images)

    def task(
        self, plan: Plan, network: Network, parent: str | None = None
    ) -> Callable[[Callable[[float], None], Callable[[], bool]], Record]:
        """A function that measures `plan` in the setting of this moment and keeps the record.

        network : the one the plan is made for.
        """
        meter = self.meter(network)

        def measure(progress: Callable[[float], None], cancelled: Callable[[], bool]) -> Record:
            record = meter.measure(plan, parent=parent, progress=progress, cancel=cancelled)
            self.add(record)
            return record

        return measure

    def save(self, path: str | Path) -> Path:
        """Write the records of the present setting as CSV."""
        files.write_text(path, csv_text(self.records()))
        return Path(path).absolute()

    def close(self) -> None:
        """Let go of the file of records."""
        self._store.close()
