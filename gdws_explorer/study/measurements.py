"""Records of one network, by setting, and the setting of new measurements."""

from __future__ import annotations

from collections.abc import Callable, Hashable, Iterable
from pathlib import Path
from typing import Any, NamedTuple

from torch import Tensor

from gdws_explorer.errors import DataError
from gdws_explorer.network.network import Network
from gdws_explorer.network.plans.plan import Plan
from gdws_explorer.robust.data_checks import data_fingerprint
from gdws_explorer.robust.sequence import any_attack_from_dict
from gdws_explorer.study.attack_settings import AttackSpec
from gdws_explorer.study.plan_evaluator import PlanEvaluator
from gdws_explorer.study.prediction import AccuracyCurve, fit
from gdws_explorer.study.record_files import write_csv
from gdws_explorer.study.records import EvaluationSetting, Record
from gdws_explorer.study.runner import StudyRun
from gdws_explorer.study.storage.store import Store
from gdws_explorer.utils.sampling import EVALUATION_IMAGES


def default_n(images: int) -> int:
    """Returns the number of images that plans are measured on unless n is given: at most 360."""
    return min(images, EVALUATION_IMAGES)


class SettingCount(NamedTuple):
    """A setting, the number of measurements in it, and its label."""

    setting: EvaluationSetting
    measured: int
    label: str


class Measurements:
    """The present evaluation setting of a network, and the records of all settings.

    data : images and labels, or None where plans cannot be measured. attack, n, seed : the present
    setting; only records of one setting share a front. bundled : records that came with the
    network. store : keeps new records. owned : whether `close` closes the store.
    """

    def __init__(
        self,
        network: Network,
        data: tuple[Tensor, Tensor] | None,
        attack: AttackSpec,
        bundled: Iterable[Record] = (),
        store: Store | None = None,
        *,
        owned: bool = True,
    ) -> None:
        self.data = data
        self.attack = attack
        self.n = 0 if data is None else default_n(len(data[1]))
        self.seed = 0
        self._network = network
        self._images = "" if data is None else data_fingerprint(*data)
        self.bundled = tuple(bundled)
        self._open_with_bundled()
        self.store = Store() if store is None else store
        self._owned = owned
        self._known: dict[EvaluationSetting, tuple[Hashable, dict[str, Record]]] = {}
        self._elsewhere: EvaluationSetting | None = None

    @property
    def setting(self) -> EvaluationSetting:
        """The present setting: records share a front only within one setting."""
        attack = None if self.attack is None else self.attack.to_dict()
        return EvaluationSetting(self._network.fingerprint, self._images, attack, self.n, self.seed)

    @property
    def how(self) -> tuple[AttackSpec, int, int]:
        """Attack, n and seed of the present setting."""
        return self.attack, self.n, self.seed

    def _open_with_bundled(self) -> None:
        """Takes the setting of the bundled records, so that the front opens with them.

        Where there are images, the records must be of these and of the given attack; where there
        are none, the setting is that of the records.
        """
        for record in self.bundled:
            if record.plan.fingerprint != self._network.fingerprint:
                continue
            if self.data is None:
                self._images, self.n, self.seed = record.data, record.n, record.seed
                self.attack = _attack_of(record.setting)
                return
            attack = None if self.attack is None else self.attack.to_dict()
            if (record.data, record.attack) == (self._images, attack):
                self.n, self.seed = record.n, record.seed
                return

    def change(self, attack: AttackSpec, n: int) -> None:
        """Changes the present setting to this attack on n images."""
        if self.data is not None and not 1 <= n <= len(self.data[1]):
            raise DataError(f"n is {n}; expected 1 to {len(self.data[1])}, the images there are.")
        self.attack, self.n = attack, n
        self._elsewhere = None

    def records(self, setting: EvaluationSetting | None = None) -> tuple[Record, ...]:
        """Returns the records of one setting, bundled ones first; of each plan the latest.

        setting : the present one unless given.
        """
        return tuple(self._latest(setting or self.setting).values())

    def of(self, plan: Plan) -> Record | None:
        """Returns the record of a plan in the present setting, or None."""
        return self._latest(self.setting).get(plan.hash)

    def _latest(self, setting: EvaluationSetting) -> dict[str, Record]:
        """Returns records by plan hash; cached, as every move of a slider calls it."""
        stamp = self.store.stamp()
        known = self._known.get(setting)
        if known is None or known[0] != stamp:
            bundled = [r for r in self.bundled if r.setting == setting]
            latest = {r.plan.hash: r for r in (*bundled, *self.store.records(setting))}
            known = self._known[setting] = stamp, latest
        return known[1]

    def everything(self) -> tuple[Record, ...]:
        """Returns all records of this network, of all settings."""
        return (*self.bundled, *self.store.records(fingerprint=self._network.fingerprint))

    # -- other settings ------------------------------------------------------------------

    @property
    def shown(self) -> EvaluationSetting:
        """The setting whose records are shown: the present one, or another that `show` chose."""
        return self._elsewhere or self.setting

    @property
    def shows_other_images(self) -> bool:
        """Whether records of other images than these are shown."""
        return self._elsewhere is not None

    def show(self, setting: EvaluationSetting) -> None:
        """Shows the records of another setting, one of `settings`.

        A setting with these images becomes the present one, so that new records share its front.
        One with other images is only shown, until the setting changes again.
        """
        if setting.fingerprint != self._network.fingerprint:
            raise DataError(
                f"the setting is of network {setting.fingerprint[:12]}…, this one is "
                f"{self._network.fingerprint[:12]}…; explore that network to see its records."
            )
        if setting.data != self._images:
            self._elsewhere = setting
            return
        self.change(_attack_of(setting), setting.n)
        self.seed = setting.seed

    def settings(self) -> tuple[SettingCount, ...]:
        """Returns the settings in which this network was measured; the present one comes first."""
        present = self.setting
        counts = {present: 0}
        for record in self.bundled:
            counts[record.setting] = counts.get(record.setting, 0) + 1
        for setting, count in self.store.counts(present.fingerprint).items():
            counts[setting] = counts.get(setting, 0) + count
        return tuple(
            SettingCount(setting, count, self._label(setting)) for setting, count in counts.items()
        )

    def others(self) -> int:
        """Returns the number of measurements of this network in other settings."""
        return sum(count.measured for count in self.settings()[1:])

    def _label(self, setting: EvaluationSetting) -> str:
        images = "" if setting.data == self._images else f" · other images ({setting.data[:8]})"
        return setting.label + images

    def accuracy_curve(self, calibration: str | None, metric: str) -> AccuracyCurve | None:
        """Returns the accuracy over the error of the records made from one source.

        calibration : the `calibration` of their plans: errors in weights and errors in outputs
        are not the same. None is returned where fewer than two records have the metric.
        """
        alike = (r for r in self.records() if r.plan.calibration == calibration)
        return fit(alike, metric)

    def predicted(self, plan: Plan, error: float, metric: str) -> float | None:
        """Returns the predicted accuracy of an unmeasured plan of this relative error, or None."""
        curve = self.accuracy_curve(plan.calibration, metric)
        return None if curve is None else curve.at(error)

    def evaluator(self, *networks: Network) -> PlanEvaluator:
        """Returns an evaluator for plans of these networks in the present setting; DataError."""
        if self.data is None:
            raise DataError("there are no images to measure on; open with data=(images, labels).")
        return PlanEvaluator(networks, self.data, self.attack, self.n, self.seed, self._images)

    def study_run(
        self,
        plans: Iterable[Plan],
        *networks: Network,
        evaluator: PlanEvaluator | None = None,
        **options: Any,
    ) -> StudyRun:
        """Returns a run of many plans of these networks; the records are stored.

        evaluator : that of the present setting unless given. options : total, record, progress and
        cancel, as in `StudyRun`.
        """
        evaluator = evaluator or self.evaluator(*networks)
        known = self.records(evaluator.setting)
        return StudyRun(evaluator, plans, self.store, known=known, **options)

    def task(
        self, plan: Plan, network: Network, parent: str | None = None
    ) -> Callable[[Callable[[float], None], Callable[[], bool]], Record]:
        """Returns a function that measures a plan in the present setting and stores the record.

        network : the network of the plan.
        """
        evaluator = self.evaluator(network)

        def measure(progress: Callable[[float], None], cancelled: Callable[[], bool]) -> Record:
            record = evaluator.measure(plan, parent=parent, progress=progress, cancel=cancelled)
            self.store.add(record)
            return record

        return measure

    def save(self, path: str | Path) -> Path:
        """Writes the records of the present setting as CSV."""
        write_csv(path, self.records())
        return Path(path).absolute()

    def close(self) -> None:
        """Closes the store, unless the user brought it and may go on with it."""
        if self._owned:
            self.store.close()


def _attack_of(setting: EvaluationSetting) -> AttackSpec:
    return None if setting.attack is None else any_attack_from_dict(setting.attack)
