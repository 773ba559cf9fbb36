"""The menu of attacks says every attack that it makes, and no other."""

import pytest

import gdws_explorer as gx
from gdws_explorer.explore.attacking import KINDS, Wish, learning, wish_of
from gdws_explorer.robust.staged import standard


@pytest.mark.parametrize("kind", KINDS)
@pytest.mark.parametrize("norm", ["linf", "l2"])
def test_a_wish_comes_back_from_its_attack(kind, norm):
    wish = Wish(kind, 0.1, norm, steps=7, restarts=2)
    if norm not in KINDS[kind].norms:
        with pytest.raises(gx.DataError, match="expected one of"):
            wish.attack  # noqa: B018
        return
    again = wish_of(wish.attack)
    assert again is not None
    assert again.kind == kind
    assert again.attack == wish.attack


@pytest.mark.parametrize(
    "attack",
    [gx.PGD(0.1, 5, step_size=0.01), gx.PGD(0.1, 5, random_start=False), gx.APGD(0.1, loss="dlr"),
     gx.Staged([gx.PGD(0.1, 5), gx.Square(0.1)])],
)  # fmt: skip
def test_what_the_menu_cannot_say_is_none(attack):
    assert wish_of(attack) is None


def test_an_unknown_kind_is_named():
    with pytest.raises(gx.DataError, match="'CW'"):
        Wish("CW", 0.1).attack  # noqa: B018


def test_images_are_read_under_one_plain_gradient_attack():
    assert learning(None) is None
    assert learning(gx.FGSM(0.1)) == gx.FGSM(0.1)
    assert learning(gx.PGD(0.1, 20, restarts=5)) == gx.PGD(0.1, 20)
    assert learning(standard(0.1)) == gx.PGD(0.1, 10)
    assert learning(gx.AutoAttack(0.5, norm="l2")) == gx.PGD(0.5, 10, norm="l2")
