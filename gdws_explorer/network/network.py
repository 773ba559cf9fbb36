"""A whole network: its layers, plans, summaries and compressed copies."""

from __future__ import annotations

import os
from collections.abc import Collection, Mapping
from dataclasses import dataclass, replace
from typing import Any, Self

import torch
from torch import Tensor, nn

from gdws_explorer.errors import BudgetError, ModelError, PlanError
from gdws_explorer.factorize.gdws import GDWSSpectrum
from gdws_explorer.factorize.tucker import Tucker2Spectrum
from gdws_explorer.network.budget.allocation import ParetoTable
from gdws_explorer.network.budget.planner import Planner
from gdws_explorer.network.budget.prepare import prepare
from gdws_explorer.network.budget.request import BudgetRequest, Weights
from gdws_explorer.network.budget.solver import BudgetSolution
from gdws_explorer.network.budget.table_cache import cached, folder_of
from gdws_explorer.network.calibration.alpha import compute_alpha
from gdws_explorer.network.calibration.batchnorm import reestimate_batchnorm
from gdws_explorer.network.calibration.calibrate import Calibration, attack_key
from gdws_explorer.network.calibration.data_aware import (
    calibrate_clean_and_attacked,
    calibration_label,
    check_calibration,
    images_of,
    labels_of,
    restrict_families,
    source_mismatch,
)
from gdws_explorer.network.calibration.margins import (
    AttackLike,
)
from gdws_explorer.network.calibration.refit import refit as refit_factors
from gdws_explorer.network.latency.latency import LatencyTable
from gdws_explorer.network.latency.measure import measure_latency
from gdws_explorer.network.plans.choices import GDWS, Choice, Dense, family_of
from gdws_explorer.network.plans.cost import LayerSummary, Summary, cost
from gdws_explorer.network.plans.families import (
    FAMILIES,
    FamilyLike,
    counts_of,
    family_name,
    family_names,
)
from gdws_explorer.network.plans.layer import Layer
from gdws_explorer.network.plans.plan import REFIT, TRAINED, Plan
from gdws_explorer.network.surgery import check_same_architecture, densify, with_layers
from gdws_explorer.network.tracing import TracedModel
from gdws_explorer.typing import Cancel, ProgressFn
from gdws_explorer.utils.hashing import Digest
from gdws_explorer.utils.modules import own_copy, set_requires_grad
from gdws_explorer.utils.sampling import ALPHA_IMAGES, CALIBRATION_IMAGES


@dataclass(frozen=True, eq=False)
class PlanSource:
    """The data and training that the factors of a network's plans are made from.

    label : what plans carry as `calibration`; None for the network's own weights alone.
    weights : label of the trained weights; None for those of the fingerprint.
    calibration : moments of the layers' inputs; None where errors are errors of the weights.
    refit_images : images `(N, C, H, W)` on which `build` solves for the last factors, or None.
    """

    label: str | None = None
    weights: str | None = None
    calibration: Calibration | None = None
    refit_images: Tensor | None = None


class Network:
    """A model whose layers are decomposed once; plans and summaries are then table look-ups.

    `calibrated`, `weighted`, `refitted` and `trained` return another view of the same model. Views
    share the traced layers and all tables that are equal for them, which never change. They share
    nothing that can change: `use_latencies` and `measure_latency` change this network alone, and
    a view begins with the times that its network has when the view is made.

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
    uncounted : modules with operations that multiply and add but are not in the MACs, because no
        rule counts them (Fourier transforms, quantised layers, operators of other packages), as
        "name (operation)"; `summary` has them too.
    names : the layers that can be approximated, in call order. skip : as given, or the default.
    macs, params, bytes : of the dense network. fingerprint : SHA-256, 64 hex digits.
    calibration : the argument of `calibrated`; None where errors are errors of the weights.
    label : what its plans carry as `calibration`; None for plans of the weights alone.
    latencies : the times that `budget(ms=…)` uses; None before any were measured.
    planner : makes the plans, see Planner.
    """

    planner: Planner

    def __init__(
        self, model: nn.Module, example: Tensor, *, skip: Collection[str] | None = None
    ) -> None:
        traced = TracedModel.of(model, example, skip)
        choices = tuple((name, Dense()) for name in traced.layers.names)
        dense = Plan(traced.fingerprint, traced.input_shape, choices)
        planner = Planner.of(traced.model, dense, traced.layers, traced.totals)
        self._assemble(traced, PlanSource(), planner, {})

    # -- views -------------------------------------------------------------------------

    def calibrated(self, calibration: Calibration, *, refit: Tensor | None = None) -> Network:
        """Returns a view whose errors are those of the layers' outputs, not of weights (ours).

        Budgets then add the layers' errors by the geometric mean of two weights: how much the
        network's decisions depend on the layer (`calibration.weights`), and "relative". Layers are
        built for the inputs that the images have. Layers without moments stay dense, and families
        that cannot use moments are left out: `Layer.reasons` says which. A plan belongs to one
        calibration and carries its label.

        calibration : from `calibrate`. refit : images `(N, C, H, W)` on which every `build` solves
        for the last factors. Raises DataError.
        """
        check_calibration(calibration, self.model)
        refit = None if refit is None else images_of(refit, self.input_shape)
        label = calibration_label(calibration, refit)
        source = PlanSource(label, self._source.weights, calibration, refit)
        return self._view(self._traced, source, self._new_planner(self._traced, source))

    def weighted(self, alpha: Mapping[str, Tensor]) -> Network:
        """Returns a view whose `lego` and `mego` use these weights unless they are given others.

        alpha : weights `(C,)` by layer name. Raises PlanError, BudgetError.
        """
        return self._view(self._traced, self._source, self.planner.weighted(alpha))

    def refitted(self, x: Tensor) -> Network:
        """Returns a view whose `build` solves for the last factors on images (ours).

        x : images `(N, C, H, W)`, a few hundred that no plan is measured on. Errors and choices
        are those of the weights; plans carry the label of the images. Raises DataError.
        """
        images = images_of(x, self.input_shape)
        weights = self._source.weights
        label = f"{REFIT}{Digest(weights or '').tensors([('x', images)]).hex[:16]}"
        source = PlanSource(label, weights, None, images)
        planner = (
            self.planner.labelled(label)  # the tables are equal
            if self.calibration is None
            else self._new_planner(self._traced, source)
        )
        return self._view(self._traced, source, planner)

    def trained(self, model: nn.Module) -> Network:
        """Returns a view with weights that were trained further (ours).

        model : the result of `build`, or the dense network, trained since; it is copied. Its
        kernels, with factors multiplied, are the new weights: errors are errors of these, and the
        plan that was trained has none. Plans keep this network's fingerprint and carry the label
        of the trained weights, so that they appear on the same fronts. Raises ModelError.
        """
        copy = own_copy(model)
        label = f"{TRAINED}{Digest().state(copy, all_buffers=False).hex[:32]}"
        copy = own_copy(densify(copy)).to(self.example.device)
        check_same_architecture(copy, self.model)
        traced, source = replace(self._traced, model=copy), PlanSource(label, label)
        return self._view(traced, source, self._new_planner(traced, source))

    @property
    def refits_on(self) -> Tensor | None:
        """The images `(N, C, H, W)` that every `build` refits on, None where it does not."""
        return self._source.refit_images

    # -- measurements on images --------------------------------------------------------

    def calibrate(
        self,
        x: Tensor,
        y: Tensor | None = None,
        attack: AttackLike | None = None,
        *,
        n: int | None = CALIBRATION_IMAGES,
        seed: int = 0,
        device: str | torch.device | None = None,
        progress: ProgressFn | None = None,
        cancel: Cancel = None,
    ) -> Calibration:
        """Measures the moments of every convolution in one pass, and one more under attack.

        x, y : images `(N, C, H, W)`, not those that plans are measured on, and labels; without
        labels the attack takes the network's own answers. attack : decides which outputs count
        (`gx.PGD(…)`); None counts them on the clean images. n, seed : the first n of a seeded
        shuffle, None for all. device : where to compute; the model's device unless given.
        Raises DataError, ModelError, Cancelled.
        """
        x = images_of(x, self.input_shape)
        y = labels_of(y, len(x))
        names = self._convolutions()
        return calibrate_clean_and_attacked(
            self.model, x, y, attack, names, n, seed, device, progress, cancel
        )

    def alpha(
        self,
        x: Tensor,
        y: Tensor | None = None,
        attack: AttackLike | None = None,
        *,
        n: int | None = ALPHA_IMAGES,
        seed: int = 0,
        cache: bool | str | os.PathLike[str] = False,
        device: str | torch.device | None = None,
        progress: ProgressFn | None = None,
        cancel: Cancel = None,
    ) -> dict[str, Tensor]:
        """Computes the paper's weights `(C,)` of every convolution (eq. 8) for `lego` and `mego`.

        x, y, attack, n, seed, device : as in `calibrate`. Equal images and settings are computed
        once; cache : as in `prepare`, kept on disk too. Raises DataError, ModelError, Cancelled.
        """
        x = images_of(x, self.input_shape)
        y = labels_of(y, len(x))
        names = self._convolutions()
        folder = folder_of(cache, self.params)

        def compute() -> dict[str, Tensor]:
            return compute_alpha(
                self.model, (x, y), attack, names=names, n=n, seed=seed, device=device,
                progress=progress, cancel=cancel,
            )  # fmt: skip

        settings = (
            f"{self.fingerprint}{self._source.weights or ''} {attack_key(attack)} {n} {seed} "
            f"{names}"
        )
        name = f"alpha-{Digest(settings).tensors([('x', x), ('y', y)]).hex}"
        return cached(name, compute, self._alphas, folder, must=cache is not True)

    def measure_latency(
        self,
        *,
        runtime: str = "torch",
        batch: int = 1,
        threads: int | None = 1,
        device: str | torch.device | None = None,
        cache: bool | str | os.PathLike[str] = False,
        again: bool = False,
        progress: ProgressFn | None = None,
        cancel: Cancel = None,
    ) -> LatencyTable:
        """Times the dense network and its layers in every family, on this machine; seconds.

        `budget(ms=…)` of this network then uses the result, which `LatencyTable.save` keeps.

        runtime : "torch", or "onnxruntime" for the networks that `gx.export` writes. batch : images
        at once. threads : of the runtime while measuring; more than one gives steady times only on
        a quiet machine. device : of torch, None for the network's own. cache : a folder that keeps
        the times by machine, runtime, versions, batch and threads; True for the user's cache
        folder. again : whether to measure where it has them, too. Raises DataError, ModelError,
        ExplorerError, Cancelled.
        """
        found = measure_latency(
            self.model,
            self.example,
            self._traced.layers.layers,
            self.fingerprint,
            runtime=runtime,
            batch=batch,
            threads=threads,
            device=device,
            cache=cache,
            again=again,
            progress=progress,
            cancel=cancel,
        )
        self.use_latencies(found)
        return found

    def use_latencies(self, latencies: LatencyTable | None) -> None:
        """Lets `budget(ms=…)` of this network use other times; None for none.

        Views of this network, made before or after, keep their own. latencies : from
        `measure_latency` or `LatencyTable.load(path)`. Raises PlanError for another network's.
        """
        if latencies is not None and latencies.fingerprint != self.fingerprint:
            raise PlanError(
                f"the times are of another network (fingerprint {latencies.fingerprint[:12]}…, "
                f"this one has {self.fingerprint[:12]}…); measure this one."
            )
        self.planner = self.planner.timed_by(latencies)

    @property
    def latencies(self) -> LatencyTable | None:
        """The times that `budget(ms=…)` uses; None before any were measured."""
        return self.planner.tables.latencies

    # -- layers ------------------------------------------------------------------------

    def layer(self, name: str) -> Layer:
        """Returns the traced layer of that name. Raises PlanError."""
        layers = self.planner.layers
        return layers.by_name.get(name) or layers.layer(name)

    def spectrum(self, name: str, family: FamilyLike) -> Any:
        """Returns the spectrum of a layer in a family ("gdws", "tucker2", "svd", "spatial").

        Computed at its first use: a GDWSSpectrum, Tucker2Spectrum, SVDSpectrum or
        SpatialSVDSpectrum. Raises PlanError.
        """
        self.layer(name)
        return self.planner.spectra.get(name, family_name(family))

    def gdws(self, name: str) -> GDWSSpectrum:
        """Returns the GDWS spectrum of a layer. Raises PlanError."""
        return self.planner.gdws(name)

    def tucker(self, name: str) -> Tucker2Spectrum:
        """Returns the Tucker-2 spectrum of a layer. Raises PlanError."""
        spectrum: Tucker2Spectrum = self.spectrum(name, "tucker2")
        return spectrum

    def error(self, name: str, choice: Choice) -> float:
        """Returns the squared error of a layer's kernel under a choice.

        Raises PlanError, or BudgetError for ranks out of range.
        """
        self.layer(name)
        return self.planner.spectra.error(name, choice)

    def energy(self, name: str) -> float:
        """Returns the squared norm of a layer's kernel: the error of dropping the layer."""
        self.layer(name)
        return self.planner.spectra.energy(name)

    def table(
        self, name: str, families: Collection[FamilyLike], measure: str = "macs"
    ) -> ParetoTable:
        """Returns the non-dominated choices of a layer among `families`.

        By rising cost and falling error. measure : "macs", "params" or "ms". Raises PlanError,
        BudgetError.
        """
        layer = self.layer(name)
        try:
            allowed = family_names(families)
        except PlanError as error:
            raise PlanError(f"{name}: {error}") from None
        return self.planner.tables[measure].table(layer, allowed)

    def counts(self, name: str, choice: GDWS) -> Tensor:
        """Returns the number of depthwise kernels of every input channel, `(C,)`."""
        self.error(name, choice)
        return counts_of(self.gdws(name), choice)

    def prepare(
        self,
        progress: ProgressFn | None = None,
        cancel: Cancel = None,
        *,
        cache: bool | str | os.PathLike[str] = False,
    ) -> Self:
        """Computes all spectra and tables now; returns the network itself.

        As many layers at a time as torch has threads. cache : a folder that keeps the tables under
        the network's fingerprint, so that the next time takes a fraction of a second; True for
        the user's cache folder (from two million weights on). Damaged files are replaced; the
        tables of calibrated and trained networks are not kept.
        """
        own_weights = self.calibration is None and self._source.weights is None
        planner = self.planner
        prepare(
            planner.spectra,
            planner.tables,
            planner.layers.approximable,
            self.fingerprint,
            cache if own_weights else False,
            progress,
            cancel,
        )
        return self

    # -- plans -------------------------------------------------------------------------

    def plan(self, choices: Mapping[str, Choice] | None = None) -> Plan:
        """Returns the plan with these choices, every other layer dense."""
        return self.planner.plan(choices or {})

    def lego(
        self,
        beta: float,
        alpha: Mapping[str, Tensor] | None = None,
        *,
        skip: Collection[str] | None = None,
        fixed: Mapping[str, Choice] | None = None,
    ) -> Plan:
        """Returns the plan of one error bound for every layer (Dbouk & Shanbhag, algorithm 3).

        Layers that GDWS cannot approximate stay dense. As in the paper, a layer may cost more than
        dense; `budget` never allows this.

        beta : bound on each layer's weighted squared error, ≥ 0. alpha : weights `(C,)` by layer
        name, ones where a layer has none. skip : left dense (None: `self.skip`). fixed : choices
        that stay.
        """
        return self.planner.lego(beta, alpha, skip, fixed)

    def mego(
        self,
        fraction: float,
        alpha: Mapping[str, Tensor] | None = None,
        *,
        skip: Collection[str] | None = None,
        fixed: Mapping[str, Choice] | None = None,
    ) -> Plan:
        """Returns the plan of one share of its own MACs for every layer, by algorithm 1 (MEGO).

        fraction : of a layer's dense MACs, in (0, 1]; at least one kernel always stays. (The G of
        `gdws.spectrum(…).mego` is a number of kernels.) alpha, skip, fixed : as in `lego`.
        """
        return self.planner.mego(fraction, alpha, skip, fixed)

    def budget(
        self,
        *,
        macs: float | None = None,
        params: float | None = None,
        error: float | None = None,
        ms: float | None = None,
        families: Collection[FamilyLike] | None = None,
        skip: Collection[str] | None = None,
        fixed: Mapping[str, Choice] | None = None,
        weights: Weights = None,
        exact: bool = True,
        slower: bool = False,
    ) -> Plan:
        """Returns the best plan under one budget for the whole network.

        Exactly one of the four budgets must be given. A layer whose approximation would cost more
        than dense stays dense.

        Parameters
        ----------
        macs, params : fraction of the dense network's total in (0, 1], layers that are not
            approximated included; the plan has the least error.
        error : fraction in (0, 1] of the weights' squared norms; the plan has the fewest MACs.
        ms : measured milliseconds of one batch of the whole network; the plan has the least error.
        families : names ("gdws", "tucker2", "svd", "spatial") or classes (`gx.SVD`) of the allowed
            families; None for all.
        skip, fixed : as in `lego`.
        weights : factors of the layers' squared errors, by name (others have 1); "relative"
            divides by the squared norm of the layer's weight, which keeps more accuracy where
            BatchNorm follows (ours, measured on the bundled networks). None adds the squared errors
            as they are, in a calibrated network as `calibrated` says.
        exact : whether to close the gap that the greedy allocation leaves (milliseconds);
            `optimum` reports it.
        slower : where times were measured, whether a layer may take longer than the dense one.

        Raises
        ------
        BudgetError : the budget cannot be met, or an argument is out of range. PlanError : an
        unknown layer.

        Examples
        --------
        >>> import gdws_explorer as gx
        >>> bench = gx.load("digits")
        >>> net = gx.Network(bench.model, bench.example)
        >>> plan = net.budget(macs=0.4, families=["gdws", gx.SVD])
        >>> bool(net.summary(plan).macs <= 0.4 * net.macs)
        True
        """
        amounts = {"macs": macs, "params": params, "error": error, "ms": ms}
        request = BudgetRequest.of(amounts, families, skip, fixed, weights, exact, slower)
        return self.planner.optimum(request).plan

    def optimum(
        self,
        *,
        macs: float | None = None,
        params: float | None = None,
        error: float | None = None,
        ms: float | None = None,
        families: Collection[FamilyLike] | None = None,
        skip: Collection[str] | None = None,
        fixed: Mapping[str, Choice] | None = None,
        weights: Weights = None,
        exact: bool = True,
        slower: bool = False,
    ) -> BudgetSolution:
        """Returns the plan of `budget` with its value and a bound on all plans' values."""
        amounts = {"macs": macs, "params": params, "error": error, "ms": ms}
        request = BudgetRequest.of(amounts, families, skip, fixed, weights, exact, slower)
        return self.planner.optimum(request)

    def least(
        self,
        measure: str = "macs",
        *,
        families: Collection[FamilyLike] | None = None,
        skip: Collection[str] | None = None,
        fixed: Mapping[str, Choice] | None = None,
        weights: Weights = None,
        slower: bool = False,
    ) -> float:
        """Returns the smallest "macs", "params", "error" or "ms" that `budget` can reach."""
        allowed = family_names(families, BudgetError)
        return self.planner.least(
            BudgetRequest(
                measure, families=allowed, skip=skip, fixed=fixed, weights=weights, slower=slower
            )
        )

    def most_error(self) -> float:
        """Returns the largest useful bound for `lego`: the largest error of a dropped layer."""
        return self.planner.most_error()

    def beta_of(self, plan: Plan) -> float:
        """Returns the largest error of a layer in a plan; with α, of its GDWS layers, weighted."""
        return self.planner.beta_of(plan)

    # -- a plan's costs and model ------------------------------------------------------

    def check(self, plan: Plan) -> None:
        """Raises PlanError or BudgetError unless the plan fits this network."""
        self._check_owner(plan)
        for name, choice in plan:
            self.planner.spectra.error(name, choice)

    def summary(self, plan: Plan) -> Summary:
        """Returns MACs, parameters, bytes and error of a plan, in total and per layer.

        Only looks them up; milliseconds too, where times were measured. Raises PlanError,
        BudgetError for a plan that does not fit.
        """
        self._check_owner(plan)
        solver, times = self.planner.solver, self.latencies
        layers = {name: self._layer_summary(name, choice, times) for name, choice in plan}
        error = sum(s.error * solver.weights[name] for name, s in layers.items())
        return Summary(
            macs=self.macs + sum(s.macs - s.dense_macs for s in layers.values()),
            params=self.params + sum(s.params - s.dense_params for s in layers.values()),
            bytes=self.bytes + sum(s.bytes - s.dense_bytes for s in layers.values()),
            error=error,
            relative_error=error / solver.energy,
            dense_macs=self.macs,
            dense_params=self.params,
            dense_bytes=self.bytes,
            layers=layers,
            ms=None if times is None else _total_ms(times, layers),
            dense_ms=None if times is None else times.dense,
            uncounted=self.uncounted,
        )

    def build(
        self,
        plan: Plan,
        *,
        refit: Tensor | None = None,
        batchnorm: Tensor | None = None,
        progress: ProgressFn | None = None,
        cancel: Cancel = None,
    ) -> nn.Module:
        """Returns a compressed copy of the network, in eval mode, its parameters trainable.

        refit : images `(N, C, H, W)` on which the last factor of every layer (for GDWS the
        pointwise weights) is solved for, layer after layer, towards the dense outputs (ours,
        closed form); None for the images of the view, if it has any. batchnorm : images, clean or
        attacked, from which the BatchNorm layers then take means and variances; with clean ones
        robust accuracy may fall. progress, cancel : of the refit.
        """
        self.check(plan)
        choices = dict(plan.layers)

        def make(name: str, _module: nn.Module) -> nn.Module | None:
            choice = choices.get(name, Dense())
            if isinstance(choice, Dense):
                return None
            family = family_of(choice)
            return FAMILIES[family].build(self.spectrum(name, family), choice)

        built = set_requires_grad(with_layers(self.model, make).eval(), True)
        images = self.refits_on if refit is None else images_of(refit, self.input_shape)
        if images is not None and any(choice != Dense() for _, choice in plan):
            built = refit_factors(self.model, built, images, progress=progress, cancel=cancel)
        if batchnorm is not None:
            images = images_of(batchnorm, self.input_shape)
            built = reestimate_batchnorm(built, images, cancel=cancel)
        return built

    # -- inside ------------------------------------------------------------------------

    def _assemble(
        self,
        traced: TracedModel,
        source: PlanSource,
        planner: Planner,
        alphas: dict[str, dict[str, Tensor]],
    ) -> None:
        """Sets all attributes; alphas : the results of `alpha` by the hash of its arguments."""
        self.model, self.example = traced.model, traced.example
        self.input_shape, self.unused = traced.input_shape, traced.unused
        self.uncounted = traced.uncounted
        self.layers, self.names = planner.layers.layers, traced.layers.names
        self.skip, self.fingerprint = traced.layers.skip, traced.fingerprint
        self.macs, self.params, self.bytes = traced.macs, traced.params, traced.bytes
        self.calibration, self.label = source.calibration, source.label
        self.planner = planner
        self._traced, self._source, self._alphas = traced, source, alphas
        # The latest of every layer, and the times that it was made with.
        self._layer_summaries: dict[str, tuple[LatencyTable | None, LayerSummary]] = {}

    def _view(self, traced: TracedModel, source: PlanSource, planner: Planner) -> Network:
        """Returns another network made of these parts."""
        other = object.__new__(type(self))
        other._assemble(traced, source, planner, self._alphas)
        return other

    def _new_planner(self, traced: TracedModel, source: PlanSource) -> Planner:
        """Returns a planner of new tables, for other weights or errors."""
        layers, calibration = traced.layers, source.calibration
        if calibration is not None:
            usable = (restrict_families(x, traced.model, calibration) for x in layers.layers)
            layers = replace(layers, layers=tuple(usable))
        dense = replace(self.planner.dense, calibration=source.label)
        return Planner.of(traced.model, dense, layers, traced.totals, calibration, self.latencies)

    def _convolutions(self) -> list[str]:
        """Returns the names of the convolutions, for which images give moments.

        Raises ModelError where there are none.
        """
        names = [name for name in self.names if self.layer(name).in_size]
        if not names:
            raise ModelError(
                f"images measure convolutions that can be approximated, and the network has none"
                f"{self.planner.layers.obstacle}."
            )
        return names

    def _layer_summary(self, name: str, choice: Choice, times: LatencyTable | None) -> LayerSummary:
        """Returns a layer's costs and error under a choice. Raises BudgetError for its ranks."""
        known = self._layer_summaries.get(name)
        if known is not None and known[0] is times and known[1].choice == choice:
            return known[1]
        layer, spectra = self.layer(name), self.planner.spectra
        error = spectra.error(name, choice)  # first: it checks the choice
        ms = dense_ms = None
        if times is not None and name in times.layers:
            dense_ms = times.layer_ms(name, Dense())
            if family_of(choice) in ("dense", *times.families(name)):
                ms = times.layer_ms(name, choice)
        found = LayerSummary(
            choice,
            *cost(layer, choice),
            error,
            layer.macs,
            layer.params,
            layer.bytes,
            spectra.energy(name),
            ms,
            dense_ms,
        )
        self._layer_summaries[name] = times, found
        return found

    def _check_owner(self, plan: Plan) -> None:
        """Raises PlanError unless the plan is one of this view."""
        if not isinstance(plan, Plan):
            raise PlanError(f"{type(plan).__name__} is not a plan; expected a gx.Plan.")
        if plan.fingerprint != self.fingerprint:
            raise PlanError(
                f"the plan was made for another network (fingerprint {plan.fingerprint[:12]}…, "
                f"this one has {self.fingerprint[:12]}…); open the network it belongs to."
            )
        if plan.calibration != self.label:
            raise PlanError(source_mismatch(plan.calibration, self.label))
        if tuple(name for name, _ in plan) != self.names:
            raise PlanError("the plan's layers are not this network's; make it with net.plan().")


def _total_ms(times: LatencyTable, layers: Mapping[str, LayerSummary]) -> float | None:
    """Returns the ms of the network; None where a changed layer's time was not measured."""
    changed = [layer for layer in layers.values() if layer.choice != Dense()]
    saved = [
        layer.dense_ms - layer.ms
        for layer in changed
        if layer.ms is not None and layer.dense_ms is not None
    ]
    return times.dense - sum(saved) if len(saved) == len(changed) else None
