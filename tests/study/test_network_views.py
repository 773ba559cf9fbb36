"""Views of one network: plain, refitted, calibrated, weighted by α."""

import pytest

from gdws_explorer.errors import DataError, PlanError
from gdws_explorer.robust.attacks import FGSM
from gdws_explorer.study.network_views import KINDS, NetworkViews, check_sources

ATTACK = FGSM(0.1)


@pytest.fixture
def views(network, images):
    return NetworkViews(network, images)


def test_every_plan_finds_the_view_that_it_is_of(views):
    made = views.views(KINDS, ATTACK)
    plain, refitted, seen = made
    assert plain is views.plain
    for view, kind in zip(made, KINDS, strict=True):
        plan = view.budget(macs=0.6)
        assert views.of(plan) is view
        assert views.knows(plan)
        assert views.kind(plan) == kind
    assert views.attack_of(seen.plan()) == ATTACK
    assert views.attack_of(refitted.plan()) is None


def test_images_are_read_once_per_attack(views):
    assert views.calibrated(ATTACK) is None
    (first,) = views.views(("data",), ATTACK)
    assert views.calibrated(ATTACK) is first
    assert views.views(("data",), ATTACK) == (first,)
    assert views.calibrated(None) is None
    assert views.refitted() is views.refitted()


def test_alpha_weighs_the_plans_of_the_weights(views, network, images):
    assert not views.knows_alpha(None)
    (weighted,) = views.views(("weights",), None, alpha=True)
    assert views.knows_alpha(None)
    assert not views.knows_alpha(ATTACK)
    alpha = network.alpha(*images, None, n=None)
    assert weighted.lego(0.4) == network.weighted(alpha).lego(0.4) == network.lego(0.4, alpha)


def test_the_views_of_two_users_have_equal_labels(network, images, views):
    other = NetworkViews(network, images)
    for kind in ("refit", "data"):
        (mine,), (theirs,) = (each.views((kind,), ATTACK) for each in (views, other))
        assert mine.label == theirs.label
        assert mine.budget(macs=0.6).hash == theirs.budget(macs=0.6).hash


def test_what_is_not_here_says_why(network, images):
    blind = NetworkViews(network, None)
    for kind in ("refit", "data"):
        with pytest.raises(DataError, match="no images to learn from"):
            blind.views((kind,), None)
    plan = network.refitted(images[0]).budget(macs=0.6)
    assert not blind.knows(plan)
    with pytest.raises(PlanError, match="that was not read here"):
        blind.of(plan)
    with pytest.raises(PlanError, match="the trained network is not this one"):
        blind.add(network)


@pytest.mark.parametrize("sources", [(), ("images",), ("weights", "images")])
def test_unknown_sources(sources):
    with pytest.raises(DataError, match="expected some of weights, refit, data"):
        check_sources(sources)
