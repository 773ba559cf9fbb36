"""The base class of attacks: checks, labels and conversion to JSON."""

from dataclasses import dataclass
from typing import ClassVar

import pytest

from gdws_explorer.errors import DataError
from gdws_explorer.robust.attack_base import NORMS, TARGETS, Attack


@dataclass(frozen=True)
class Tickle(Attack):
    """An attack that does nothing."""

    eps: float
    steps: int = 3
    norm: str = "linf"
    restarts: int = 1

    name: ClassVar[str] = "Tickle"

    def __post_init__(self):
        self._check()

    @property
    def label(self):
        return self._label(f"Tickle-{self.steps}")

    @property
    def forwards(self):
        return 0

    @property
    def deterministic(self):
        return True

    def bind(self, model):
        return lambda x, y: x


def test_the_label_names_ball_and_restarts():
    assert Tickle(8 / 255).label == "Tickle-3 ℓ∞ ε 8/255"
    assert Tickle(0.5, 2, "l2", 5).label == "Tickle-2 ℓ2 ε 0.5, 5 restarts"
    assert Tickle(0.5).details == ""


def test_fields_that_came_later_are_left_out_at_their_default():
    assert Tickle(0.1).to_dict() == {"name": "Tickle", "eps": 0.1, "steps": 3}
    assert Tickle(0.1, norm="l2", restarts=2).to_dict() == {
        "name": "Tickle", "eps": 0.1, "steps": 3, "norm": "l2", "restarts": 2,
    }  # fmt: skip


@pytest.mark.parametrize(
    ("wrong", "words"),
    [
        ({"norm": "l1"}, "Tickle has norm='l1'; expected 'linf'"),
        ({"eps": 8}, "eps is 8"),
        ({"steps": 0}, "Tickle has steps=0; expected a whole number from 1 up"),
        ({"restarts": True}, "Tickle has restarts=True"),
    ],
)
def test_wrong_settings_are_named(wrong, words):
    with pytest.raises(DataError, match=words):
        Tickle(**{"eps": 0.1, **wrong})


def test_norms_and_targets():
    assert NORMS == {"linf": "ℓ∞", "l2": "ℓ2"}
    assert TARGETS == 9
