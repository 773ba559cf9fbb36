"""Specifications of studies: a sweep over a grid of plans, or a search by a sampler."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field, replace

from gdws_explorer.network.network import Network
from gdws_explorer.network.plans.plan import Plan
from gdws_explorer.study.attack_settings import AttackSpec
from gdws_explorer.study.objectives import Objectives
from gdws_explorer.study.plan_evaluator import PlanEvaluator
from gdws_explorer.study.search import EVALUATIONS, Search
from gdws_explorer.study.sweep import Grid, distinct

ScreenStep = tuple[AttackSpec, int | None]  # attack, number of images (None: as many as at last)


@dataclass(frozen=True)
class SweepSpec:
    """A sweep: the plans of a grid.

    sources : the KINDS of network views that plans are made from. alpha : weigh β by eq. 8 of
    Dbouk & Shanbhag.
    """

    grid: Grid
    sources: tuple[str, ...] = ("weights",)
    alpha: bool = False

    def plans(self, networks: Sequence[Network]) -> tuple[Plan, ...]:
        """Returns the plans of all networks, equal ones once."""
        return distinct(plan for network in networks for plan in self.grid.plans(network))

    def stages(self, evaluator: PlanEvaluator) -> tuple[PlanEvaluator, ...]:
        """Returns the evaluators of the stages: a sweep has one."""
        return (evaluator,)


@dataclass(frozen=True)
class SearchSpec:
    """A search: plans that a sampler proposes; the fields are parameters of `gx.search`.

    screen : cheaper settings (attack, n), the cheapest first; n None for as many images as in the
    last stage. All proposed plans are measured in the first setting, and only the front of each
    stage in the next one.
    """

    objectives: tuple[str, ...] = ("robust", "macs")
    constraints: Mapping[str, float] = field(default_factory=dict)
    evaluations: int = EVALUATIONS
    sampler: str = "nsga2"
    sampler_seed: int = 0
    families: tuple[str, ...] | None = None
    screen: tuple[ScreenStep, ...] = ()
    sources: tuple[str, ...] = ("weights",)
    alpha: bool = False

    def goal(self, network: Network) -> Objectives:
        """Returns the objectives and constraints; ExplorerError where they make no sense."""
        return Objectives(network, self.objectives, dict(self.constraints))

    def search(self, networks: Sequence[Network]) -> Search:
        """Returns the search that proposes plans of these networks."""
        return Search(
            networks,
            self.goal(networks[0]),
            evaluations=self.evaluations,
            families=self.families,
            sampler=self.sampler,
            seed=self.sampler_seed,
        )

    def stages(self, evaluator: PlanEvaluator) -> tuple[PlanEvaluator, ...]:
        """Returns the evaluators of the stages: the screening ones, and at last `evaluator`.

        A stage whose setting is that of the next one is left out.
        """
        made = [evaluator]
        for attack, n in reversed(self.screen):
            cheap = replace(evaluator, attack=attack, n=evaluator.n if n is None else n)
            if cheap.setting != made[0].setting:
                made.insert(0, cheap)
        return tuple(made)


StudySpec = SweepSpec | SearchSpec
