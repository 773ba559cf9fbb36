"""A whole model: its layers, their spectra and costs; plans, summaries and compressed copies."""

from __future__ import annotations

import copy
import os
from collections.abc import Callable, Collection, Mapping

import torch
from torch import Tensor, nn

from gdws_explorer.errors import PlanError
from gdws_explorer.network.budget.planner import Planning
from gdws_explorer.network.budget.table_cache import cached, folder_of
from gdws_explorer.network.calibration.alpha import compute_alpha
from gdws_explorer.network.calibration.calibrate import Calibration, attack_key
from gdws_explorer.network.calibration.data_aware import (
    calibrate_clean_and_attacked,
    calibration_label,
    check_calibration,
    images_of,
    labels_of,
    restrict_families,
)
from gdws_explorer.network.calibration.margins import AttackLike
from gdws_explorer.network.calibration.refit import reestimate_batchnorm
from gdws_explorer.network.calibration.refit import refit as refitted
from gdws_explorer.network.latency.benchmark import measure_layers
from gdws_explorer.network.latency.latency import LatencyTable
from gdws_explorer.network.plans.choices import Choice, Dense, family_of
from gdws_explorer.network.plans.cost import LayerSummary, Summary, cost
from gdws_explorer.network.plans.families import FAMILIES
from gdws_explorer.network.plans.layer import Layer
from gdws_explorer.network.plans.plan import REFIT, TRAINED, Plan
from gdws_explorer.network.surgery import check_same_architecture, densify, with_layers
from gdws_explorer.utils.hashing import Digest
from gdws_explorer.utils.modules import own_copy


class Network(Planning):
    """A model whose convolutions are decomposed once; everything after is a look-up.

    Parameters
    ----------
    model : nn.Module
        Copied at once; the original is never changed.
    example : Tensor
        A batch `(N, C, H, W)`; only the first image is used.
    skip : names of layers that budgets leave dense; None skips the first convolution, as the
        paper does, and a linear layer at the end, the classifier; `()` skips none.

    Attributes
    ----------
    model : the copy, in eval mode. example : `(1, C, H, W)`. input_shape : `(C, H, W)`.
    layers : every layer the network calls, in call order. unused : convolutions never called.
    names : the layers that can be approximated, in call order.
    macs, params, bytes : of the dense network. fingerprint : SHA-256, 64 hex digits.
    calibration : what `calibrated` was given; None where errors are those of the weights.
    label : what its plans carry as `calibration`; None where nothing but the weights counts.
    latencies : the times that `budget(ms=…)` goes by; None before any were measured.
    """

    _refit: Tensor | None = None

    def __init__(
        self, model: nn.Module, example: Tensor, *, skip: Collection[str] | None = None
    ) -> None:
        super().__init__(model, example, skip=skip)
        self._plain_layers = self.layers
        self._alphas: dict[str, dict[str, Tensor]] = {}

    # -- from data -------------------------------------------------------------------

    def calibrate(
        self,
        x: Tensor,
        y: Tensor | None = None,
        attack: AttackLike | None = None,
        *,
        n: int | None = 512,
        seed: int = 0,
        device: str | torch.device | None = None,
        progress: Callable[[float], None] | None = None,
        cancel: Callable[[], bool] | None = None,
    ) -> Calibration:
        """What images tell of every convolution: one pass, and one more under attack.

        x, y : images `(N, C, H, W)`, not those that plans are measured on, and labels; without
        labels the attack takes the network's own answers. attack : decides which outputs count
        (`gx.PGD(…)`); None counts them on the clean images. n, seed : the first n of a seeded
        shuffle, None for all. device : where to compute; the model's device unless given.
        progress : from 0 to 1. Errors: DataError, ModelError, Cancelled.
        """
        x, y = images_of(x, self.input_shape), labels_of(y)
        names = self._convolutions()
        return calibrate_clean_and_attacked(
            self.model, x, y, attack, names, n, seed, device, progress, cancel
        )

    def calibrated(self, calibration: Calibration, *, refit: Tensor | None = None) -> Network:
        """The same network with errors in the layers' outputs instead of in the weights (ours).

        Budgets then add up the layers' errors by the geometric mean of how much the network's
        decisions depend on them (`calibration.weights`) and of "relative"; layers are made for the
        images' inputs. refit : images `(N, C, H, W)` on which every `build` solves for the last
        factors anew. Layers without moments stay dense, and families without such a form are
        left out: `reasons` says which. Plans belong to one or the other, and say to which.
        """
        check_calibration(calibration, self.model)
        refit = None if refit is None else images_of(refit, self.input_shape)
        other = self._copy(
            tuple(restrict_families(x, self.model, calibration) for x in self._plain_layers)
        )
        other.calibration, other._refit = calibration, refit
        other.label = calibration_label(calibration, refit)
        other._tabulate()
        return other

    def alpha(
        self,
        x: Tensor,
        y: Tensor | None = None,
        attack: AttackLike | None = None,
        *,
        n: int | None = 150,
        seed: int = 0,
        cache: bool | str | os.PathLike[str] = False,
        device: str | torch.device | None = None,
        progress: Callable[[float], None] | None = None,
        cancel: Callable[[], bool] | None = None,
    ) -> dict[str, Tensor]:
        """The paper's weights `(C,)` of every convolution (eq. 8), as `lego` and `mego` take them.

        x, y, attack, n, seed, device : as in `calibrate`. Computed once for the same images and
        settings; cache : as in `prepare`, kept on disk too.
        """
        x, y = images_of(x, self.input_shape), labels_of(y)
        names = self._convolutions()
        folder = folder_of(cache, self.params)

        def compute() -> dict[str, Tensor]:
            return compute_alpha(
                self.model, (x, y), attack, names=names, n=n, seed=seed, device=device,
                progress=progress, cancel=cancel,
            )  # fmt: skip

        settings = (
            f"{self.fingerprint}{self._weights or ''} {attack_key(attack)} {n} {seed} {names}"
        )
        name = f"alpha-{Digest(settings).tensors([('x', x), ('y', y)]).hex}"
        must = cache is not True
        return cached(name, compute, self._alphas, folder, must=must)

    def weighted(self, alpha: Mapping[str, Tensor]) -> Network:
        """The same network whose `lego` and `mego` use these weights unless told otherwise."""
        other = copy.copy(self)
        other._weigh(alpha)
        return other

    def refitted(self, x: Tensor) -> Network:
        """The same network, whose `build` solves for the last factors on images (ours).

        x : images `(N, C, H, W)`, a few hundred that nothing is measured on. Errors and choices
        are those of the weights; plans say that they are refitted.
        """
        images = images_of(x, self.input_shape)
        other = self._copy(self._plain_layers)
        other.calibration, other._refit = None, images
        other.label = f"{REFIT}{Digest(self._weights or '').tensors([('x', images)]).hex[:16]}"
        if self.calibration is not None:  # else the tables are the same
            other._tabulate()
        return other

    def trained(self, model: nn.Module) -> Network:
        """The same network with weights that were trained further (ours).

        model : what `build` made of a plan, trained since, or the dense network, trained; it is
        copied. Its kernels, factors multiplied out, are the new weights: the errors are of these,
        and the plan that they were trained at loses nothing. Plans keep this network's fingerprint
        and say that they are trained, so that they stand on its fronts. Errors: ModelError.
        """
        mine = own_copy(model)
        label = f"{TRAINED}{Digest().tensors(mine.state_dict()).hex[:32]}"
        mine = own_copy(densify(mine)).to(self.example.device)
        check_same_architecture(mine, self.model)
        other = self._copy(self._plain_layers)
        other.model, other.calibration, other._refit = mine, None, None
        other.label = other._weights = label
        other._tabulate()
        return other

    @property
    def refits_on(self) -> Tensor | None:
        """The images `(N, C, H, W)` that every `build` refits on, None where it does not."""
        return self._refit

    # -- measured time ---------------------------------------------------------------

    def measure_latency(
        self,
        *,
        batch: int = 1,
        threads: int | None = 1,
        progress: Callable[[float], None] | None = None,
        cancel: Callable[[], bool] | None = None,
    ) -> LatencyTable:
        """Time the dense network and its layers in every family, here and now; seconds.

        batch : images at once. threads : torch's while measuring; more than one is only as steady
        as the machine is quiet. `budget(ms=…)` goes by the result, which `Latencies.save` keeps.
        Errors: DataError, ModelError, Cancelled.
        """
        found = measure_layers(
            self.model,
            self.example,
            self._plain_layers,
            self.fingerprint,
            batch=batch,
            threads=threads,
            progress=progress,
            cancel=cancel,
        )
        self.use_latencies(found)
        return found

    def use_latencies(self, latencies: LatencyTable) -> None:
        """Let `budget(ms=…)` go by times that were measured before, `Latencies.load(path)`."""
        if latencies.fingerprint != self.fingerprint:
            raise PlanError(
                f"the times are of another network (fingerprint {latencies.fingerprint[:12]}…, "
                f"this one has {self.fingerprint[:12]}…); measure this one."
            )
        self.latencies = latencies
        self._tables.time_by(latencies)

    # -- what a plan is ---------------------------------------------------------------

    def summary(self, plan: Plan) -> Summary:
        """MACs, parameters, bytes and error of a plan, in total and per layer: look-ups only."""
        self._check_owner(plan)
        layers = {name: self._layer_summary(name, choice) for name, choice in plan}
        weights = self._budgets.weights
        error = sum(s.error * weights[name] for name, s in layers.items())
        return Summary(
            macs=self.macs + sum(s.macs - s.dense_macs for s in layers.values()),
            params=self.params + sum(s.params - s.dense_params for s in layers.values()),
            bytes=self.bytes + sum(s.bytes - s.dense_bytes for s in layers.values()),
            error=error,
            relative_error=error / self._budgets.energy,
            dense_macs=self.macs,
            dense_params=self.params,
            dense_bytes=self.bytes,
            layers=layers,
        )

    def build(
        self,
        plan: Plan,
        *,
        refit: Tensor | None = None,
        batchnorm: Tensor | None = None,
        progress: Callable[[float], None] | None = None,
        cancel: Callable[[], bool] | None = None,
    ) -> nn.Module:
        """A compressed copy of the network, in eval mode, its parameters trainable.

        refit : images `(N, C, H, W)` on which the last factor of every layer (for GDWS the
        pointwise weights) is solved for, layer after layer, towards the dense outputs (ours,
        closed form); None for the images of `calibrated`, if any. batchnorm : images, clean or
        attacked, of which the BatchNorm layers then take means and variances; on clean ones
        robust accuracy may fall. progress, cancel : of the refit.
        """
        self.check(plan)
        choices = dict(plan.layers)

        def make(name: str, _module: nn.Module) -> nn.Module | None:
            choice = choices.get(name, Dense())
            if isinstance(choice, Dense):
                return None
            one = family_of(choice)
            return FAMILIES[one].build(self.spectrum(name, one), choice)

        built = with_layers(self.model, make).eval().requires_grad_(True)
        images = self._refit if refit is None else images_of(refit, self.input_shape)
        if images is not None and any(choice != Dense() for _, choice in plan):
            built = refitted(self.model, built, images, progress=progress, cancel=cancel)
        if batchnorm is not None:
            images = images_of(batchnorm, self.input_shape)
            built = reestimate_batchnorm(built, images, cancel=cancel)
        return built

    def _copy(self, layers: tuple[Layer, ...]) -> Network:
        """Another view of the same model, its tables still to be made."""
        other = copy.copy(self)
        other.layers, other._alpha = layers, None
        other._by_name = {layer.name: layer for layer in layers}
        return other

    def _convolutions(self) -> list[str]:
        """What images can tell something of."""
        return [name for name in self.names if self._by_name[name].in_size]

    def _layer_summary(self, name: str, choice: Choice) -> LayerSummary:
        layer = self._by_name[name]
        error = self._spectra.error(name, choice)  # refuses what does not fit
        return LayerSummary(
            choice,
            *cost(layer, choice),
            error,
            layer.macs,
            layer.params,
            layer.bytes,
            self._spectra.energy(name),
        )
