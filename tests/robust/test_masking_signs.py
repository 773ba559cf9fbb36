"""Signs of masked gradients from results on the same images."""

import numpy as np
import pytest

from gdws_explorer.robust import masking_signs


def correct(*runs):
    """A mask of correct images from (how many, correct or not), one after the other."""
    return np.concatenate([np.full(n, right) for n, right in runs]).astype(bool)


ALL, NONE = correct((60, 1)), correct((60, 0))


@pytest.mark.parametrize(
    ("rival", "gradient", "warns"),
    [
        (correct((20, 0), (40, 1)), ALL, True),  # 20 against none
        (correct((7, 0), (53, 1)), ALL, False),  # 7 against none: p 0.016 may be chance
        (correct((8, 0), (52, 1)), ALL, True),  # 8 against none: p 0.008
        (correct((20, 0), (40, 1)), correct((30, 1), (30, 0)), False),  # the other way round too
        (ALL, correct((20, 0), (40, 1)), False),  # weaker, as it should be
        (ALL, ALL, False),
        (NONE, NONE, False),
    ],
)
def test_a_weaker_attack_that_fools_more(rival, gradient, warns):
    check = masking_signs.weaker_attack_wins(
        "one step beats many", ("FGSM", rival), ("PGD", gradient), "Odd."
    )
    assert check.warns == warns
    assert bool(check.advice) == warns
    assert check.outcomes == (
        masking_signs.AttackOutcome("FGSM", int(rival.sum()), 60),
        masking_signs.AttackOutcome("PGD", int(gradient.sum()), 60),
    )
    assert ("AutoAttack" in check.advice) == warns
    assert str(check).startswith("WARNING" if warns else "not seen")


def test_more_steps_are_judged_by_what_there_is_to_find():
    fooled = correct((25, 0), (35, 1))
    settled = masking_signs.more_steps(
        ("PGD", fooled), ("PGD+", fooled), {"FGSM": ALL, "Square": fooled}
    )
    assert not settled.warns  # nothing new, and nothing was left to be found
    blind = masking_signs.more_steps(("PGD", ALL), ("PGD+", ALL), {"FGSM": ALL, "Square": fooled})
    assert blind.warns
    assert "fool 25 that it does not" in blind.message
    assert blind.outcomes[2].correct == 35
    helps = masking_signs.more_steps(("PGD", ALL), ("PGD+", fooled), {"Square": NONE})
    assert not helps.warns  # weak, but on its way
    loses = masking_signs.more_steps(("PGD", fooled), ("PGD+", ALL), {"Square": ALL})
    assert loses.warns
    assert "rugged" in loses.message


def test_the_slope_of_the_loss():
    assert masking_signs.vanishing_gradient(50, 60).warns
    assert not masking_signs.vanishing_gradient(1, 60).warns
    assert not masking_signs.vanishing_gradient(0, 60).warns
    assert not masking_signs.vanishing_gradient(0, 0).warns  # right on nothing: nothing to say
    assert "dlr" in masking_signs.vanishing_gradient(60, 60).advice


def test_a_larger_ball_and_one_without_bounds():
    fooled = correct((25, 0), (35, 1))
    assert masking_signs.larger_ball(("small", fooled), ("large", ALL)).warns
    assert not masking_signs.larger_ball(("small", ALL), ("large", fooled)).warns
    assert not masking_signs.larger_ball(("small", ALL), ("large", ALL)).warns
    wrong_on_grey = correct((54, 1), (6, 0))
    assert masking_signs.unbounded_attack(("wide", ALL), wrong_on_grey).warns
    only_those = correct((54, 0), (6, 1))  # the grey image is one of their class: they may stand
    assert not masking_signs.unbounded_attack(("wide", only_those), wrong_on_grey).warns
    one_missed = correct((1, 1), (59, 0))
    assert not masking_signs.unbounded_attack(("wide", one_missed), wrong_on_grey).warns


def test_chance_alone_hardly_ever_warns():
    rng = np.random.default_rng(0)
    false = 0
    for _ in range(500):
        one, other = rng.random((2, 100)) < 0.5
        false += masking_signs.weaker_attack_wins("", ("a", one), ("b", other), "").warns
    assert false <= 10
