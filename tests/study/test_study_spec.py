from dataclasses import replace

import pytest

from gdws_explorer.errors import ExplorerError
from gdws_explorer.network.plans.choices import family_of
from gdws_explorer.robust.attacks import FGSM, PGD
from gdws_explorer.study.study_spec import SearchSpec, SweepSpec
from gdws_explorer.study.sweep import Grid


def test_a_sweep_has_every_plan_of_its_networks_once(network, images, evaluator):
    views = (network, network.refitted(images[0]))
    spec = SweepSpec(Grid(macs=3))
    plans = spec.plans(views)
    assert plans == (*spec.plans(views[:1]), *spec.plans(views[1:]))
    assert spec.plans((network, network)) == spec.plans((network,))
    assert spec.stages(evaluator) == (evaluator,)


def test_the_stages_of_a_search_are_its_screens_and_the_last_setting(evaluator):
    last = replace(evaluator, attack=PGD(0.1, steps=3))
    spec = SearchSpec(screen=((None, 10), (FGSM(0.1), None)))
    stages = spec.stages(last)
    assert [(stage.attack, stage.n) for stage in stages] == [
        (None, 10), (FGSM(0.1), 40), (last.attack, 40),
    ]  # fmt: skip
    assert stages[-1] is last
    assert {stage.setting.data for stage in stages} == {last.images}


def test_a_screen_that_is_the_last_setting_is_no_stage_of_its_own(evaluator):
    spec = SearchSpec(screen=((evaluator.attack, None), (evaluator.attack, 40)))
    assert spec.stages(evaluator) == (evaluator,)


def test_a_search_proposes_with_the_fields_of_the_spec(network):
    spec = SearchSpec(("clean", "params"), {"params": 0.9}, 7, families=("gdws",))
    search = spec.search((network,))
    assert search.evaluations == 7
    assert search.objectives == spec.goal(network)
    assert {family_of(choice) for _, choice in next(search.plans())} == {"gdws", "dense"}
    with pytest.raises(ExplorerError, match="expected two or three"):
        replace(spec, objectives=("clean",)).goal(network)
