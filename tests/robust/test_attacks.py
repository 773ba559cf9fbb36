import json
import subprocess
import sys

import pytest
import torch

from gdws_explorer.errors import DataError
from gdws_explorer.robust import FGSM, PGD, attack_from_dict


@pytest.mark.parametrize("attack", [FGSM(0.1), PGD(0.1, 5), PGD(0.1, 3, 0.2, False), PGD(1.0, 2)])
def test_attacked_images_stay_in_the_ball_and_in_range(net, data, attack):
    x, y = data
    attacked = attack.bind(net.eval())(x, y)
    move = (attacked - x).abs().max()
    assert move <= attack.eps + 1e-6
    # A corner is reached: an attack that does nothing would keep the budget too.
    assert move >= min(attack.eps, 0.9) - 1e-4
    assert attacked.min() >= 0
    assert attacked.max() <= 1


def test_more_steps_find_more(net, data):
    x, y = data
    net.eval()

    def loss(images):
        with torch.no_grad():
            return float(torch.nn.functional.cross_entropy(net(images), y))

    torch.manual_seed(0)
    assert loss(x) < loss(FGSM(0.1).bind(net)(x, y)) <= loss(PGD(0.1, 20).bind(net)(x, y)) + 1e-4


def test_step_follows_radius_and_steps():
    assert PGD(0.16, steps=20).step_size == pytest.approx(0.02)
    assert PGD(0.16, steps=20, step_size=0.5).step_size == 0.5
    assert PGD(8 / 255).bind(torch.nn.Linear(4, 2)).alpha == pytest.approx(1 / 255)


@pytest.mark.parametrize(
    ("attack", "words"),
    [
        (PGD(0.15), "PGD-20 ℓ∞ ε 0.15"),
        (PGD(8 / 255, 7), "PGD-7 ℓ∞ ε 8/255"),
        (FGSM(2 / 255), "FGSM ℓ∞ ε 2/255"),
        (FGSM(1), "FGSM ℓ∞ ε 1"),
    ],
)
def test_label(attack, words):
    assert attack.label == words


@pytest.mark.parametrize("attack", [FGSM(0.1), PGD(8 / 255), PGD(0.3, 7, 0.01, False)])
def test_json_round_trip(attack):
    raw = json.loads(json.dumps(attack.to_dict()))
    assert attack_from_dict(raw) == attack
    assert hash(attack_from_dict(raw)) == hash(attack)


@pytest.mark.parametrize(
    "make",
    [
        lambda: FGSM(0),
        lambda: FGSM(8),
        lambda: FGSM(float("nan")),
        lambda: FGSM("0.1"),
        lambda: FGSM(True),
        lambda: PGD(-0.1),
        lambda: PGD(0.1, 0),
        lambda: PGD(0.1, 2.5),
        lambda: PGD(0.1, step_size=0.0),
        lambda: PGD(0.1, step_size=float("inf")),
        lambda: PGD(0.1, random_start="yes"),
        lambda: attack_from_dict({"name": "Square", "eps": 0.1}),
        lambda: attack_from_dict({"eps": 0.1}),
        lambda: attack_from_dict({"name": "FGSM", "eps": 0.1, "steps": 3}),
        lambda: attack_from_dict({"name": "PGD"}),
    ],
)
def test_nonsense_is_refused(make):
    with pytest.raises(DataError, match="expected"):
        make()


def test_specs_need_no_torchattacks(root):
    code = (
        "import sys; from gdws_explorer.robust import PGD; PGD(0.1);"
        "sys.exit('torchattacks' in sys.modules)"
    )
    assert subprocess.run([sys.executable, "-c", code], cwd=root, check=False).returncode == 0
