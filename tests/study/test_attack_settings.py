"""The menu of attacks says every attack that it makes, and no other."""

import pytest

import gdws_explorer as gx
from gdws_explorer.robust.sequence import standard_sequence
from gdws_explorer.study.attack_settings import (
    ATTACK_TYPES,
    AttackSettings,
    attack_settings_of,
    calibration_attack,
)


@pytest.mark.parametrize("kind", ATTACK_TYPES)
@pytest.mark.parametrize("norm", ["linf", "l2"])
def test_a_wish_comes_back_from_its_attack(kind, norm):
    wish = AttackSettings(kind, 0.1, norm, steps=7, restarts=2)
    if norm not in ATTACK_TYPES[kind].norms:
        with pytest.raises(gx.DataError, match="expected one of"):
            wish.attack  # noqa: B018
        return
    again = attack_settings_of(wish.attack)
    assert again is not None
    assert again.kind == kind
    assert again.attack == wish.attack


@pytest.mark.parametrize(
    "attack",
    [gx.PGD(0.1, 5, step_size=0.01), gx.PGD(0.1, 5, random_start=False), gx.APGD(0.1, loss="dlr"),
     gx.Staged([gx.PGD(0.1, 5), gx.Square(0.1)])],
)  # fmt: skip
def test_what_the_menu_cannot_say_is_none(attack):
    assert attack_settings_of(attack) is None


def test_an_unknown_kind_is_named():
    with pytest.raises(gx.DataError, match="'CW'"):
        AttackSettings("CW", 0.1).attack  # noqa: B018


def test_images_are_read_under_one_plain_gradient_attack():
    assert calibration_attack(None) is None
    assert calibration_attack(gx.FGSM(0.1)) == gx.FGSM(0.1)
    assert calibration_attack(gx.PGD(0.1, 20, restarts=5)) == gx.PGD(0.1, 20)
    assert calibration_attack(standard_sequence(0.1)) == gx.PGD(0.1, 10)
    assert calibration_attack(gx.AutoAttack(0.5, norm="l2")) == gx.PGD(0.5, 10, norm="l2")
