import json
import subprocess
import sys

import pytest
import torch
import torchattacks
from torch import nn

from gdws_explorer.errors import DataError
from gdws_explorer.robust import FGSM, PGD, attack_from_dict, evaluate
from gdws_explorer.robust.attacks import APGD, FAB, AutoAttack, Square, check_attack
from gdws_explorer.robust.sequence import AttackSequence
from gdws_explorer.training import train


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
    x, linear = (
        torch.full((1, 1, 2, 2), 0.5),
        torch.nn.Sequential(torch.nn.Flatten(), torch.nn.Linear(4, 2)),
    )
    step = PGD(8 / 255, 1, 1 / 255, random_start=False).bind(linear)(x, torch.tensor([0])) - x
    torch.testing.assert_close(step.abs(), torch.full_like(x, 1 / 255))
    assert PGD(8 / 255).step_size == pytest.approx(1 / 255)


@pytest.mark.parametrize(
    ("attack", "words"),
    [
        (PGD(0.15), "PGD-20 ℓ∞ ε 0.15"),
        (PGD(8 / 255, 7), "PGD-7 ℓ∞ ε 8/255"),
        (FGSM(2 / 255), "FGSM ℓ∞ ε 2/255"),
        (FGSM(1), "FGSM ℓ∞ ε 1"),
        (PGD(8 / 255, restarts=5), "PGD-20 ℓ∞ ε 8/255, 5 restarts"),
        (PGD(128 / 255, 50, norm="l2"), "PGD-50 ℓ2 ε 128/255"),
        (PGD(2.5, norm="l2", restarts=2), "PGD-20 ℓ2 ε 2.5, 2 restarts"),
        (APGD(8 / 255), "APGD-CE-100 ℓ∞ ε 8/255"),
        (APGD(0.1, 40, loss="dlr", restarts=5), "APGD-DLR-40 ℓ∞ ε 0.1, 5 restarts"),
        (APGD(0.5, norm="l2", targeted=True), "APGD-T-100 ℓ2 ε 0.5"),
        (FAB(0.5, 30, norm="l2"), "FAB-T-30 ℓ2 ε 0.5"),
        (Square(8 / 255), "Square-5000 ℓ∞ ε 8/255"),
        (AutoAttack(8 / 255), "AutoAttack ℓ∞ ε 8/255"),
        (AutoAttack(0.5, norm="l2"), "AutoAttack ℓ2 ε 0.5"),
    ],
)
def test_label(attack, words):
    assert attack.label == words


@pytest.mark.parametrize(
    "attack",
    [
        FGSM(0.1),
        PGD(8 / 255),
        PGD(0.3, 7, 0.01, False),
        PGD(2.0, 5, norm="l2", restarts=3),
        APGD(8 / 255),
        APGD(0.1, 9, loss="dlr", restarts=2),
        APGD(0.5, norm="l2", targeted=True),
        FAB(0.1, 9, norm="l2", restarts=2),
        Square(0.1, 99, norm="l2", restarts=2),
        AutoAttack(8 / 255),
        AutoAttack(1.5, norm="l2"),
    ],
)
def test_json_round_trip(attack):
    raw = json.loads(json.dumps(attack.to_dict()))
    assert attack_from_dict(raw) == attack
    assert hash(attack_from_dict(raw)) == hash(attack)
    check_attack(attack)


@pytest.mark.parametrize("file", ["digits.records.jsonl", "digits-plain.records.jsonl"])
def test_stored_attacks_are_written_as_they_were(root, file):
    lines = (root / "data" / file).read_text(encoding="utf-8").splitlines()
    stored = [json.loads(line)["attack"] for line in lines]
    attacked = [raw for raw in stored if raw is not None]
    assert len(attacked) > 50
    for raw in attacked:
        assert list(attack_from_dict(raw).to_dict().items()) == list(raw.items())


def test_new_settings_are_written_only_where_they_say_something():
    old = {"name", "eps", "steps", "step_size", "random_start"}
    assert set(PGD(0.1).to_dict()) == set(PGD(0.1, norm="linf", restarts=1).to_dict()) == old
    assert set(PGD(0.1, norm="l2", restarts=2).to_dict()) == {*old, "norm", "restarts"}
    assert FGSM(0.1).to_dict() == {"name": "FGSM", "eps": 0.1}
    assert attack_from_dict({**PGD(0.1).to_dict(), "norm": "linf", "restarts": 1}) == PGD(0.1)


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
        lambda: PGD(1.5),
        lambda: PGD(0.1, norm="linfty"),
        lambda: PGD(0.1, norm=2),
        lambda: PGD(0.1, restarts=0),
        lambda: PGD(0.1, restarts=True),
        lambda: PGD(0.1, random_start=False, restarts=2),
        lambda: PGD(0.0, norm="l2"),
        lambda: PGD(float("inf"), norm="l2"),
        lambda: attack_from_dict({"name": "CW", "eps": 0.1}),
        lambda: attack_from_dict({"name": ["PGD"], "eps": 0.1}),
        lambda: attack_from_dict({"name": "PGD", "eps": 0.1, "loss": "ce"}),
        lambda: attack_from_dict({"name": "AutoAttack", "eps": 0.1, "steps": 10}),
        lambda: attack_from_dict({"name": "Square", "eps": 0.1, "norm": "l1"}),
        lambda: check_attack(PGD),
        lambda: check_attack({"name": "PGD", "eps": 0.1}),
        lambda: attack_from_dict({"eps": 0.1}),
        lambda: attack_from_dict({"name": "FGSM", "eps": 0.1, "steps": 3}),
        lambda: attack_from_dict({"name": "PGD"}),
    ],
)
def test_nonsense_is_refused(make):
    with pytest.raises(DataError, match="expected"):
        make()


@pytest.mark.slow
def test_specs_need_no_torchattacks(root):
    code = (
        "import sys; from gdws_explorer.robust.attacks import PGD, AutoAttack;"
        "PGD(0.1, restarts=2); AutoAttack(0.1).parts;"
        "sys.exit('torchattacks' in sys.modules)"
    )
    assert subprocess.run([sys.executable, "-c", code], cwd=root, check=False).returncode == 0


@pytest.mark.parametrize(
    ("attack", "theirs"),
    [
        (PGD(0.2, 5, 0.07), lambda net: torchattacks.PGD(net, 0.2, 0.07, 5)),
        (PGD(0.2, 5, 0.07, False), lambda net: torchattacks.PGD(net, 0.2, 0.07, 5, False)),
        (PGD(1.4, 5, 0.5, norm="l2"), lambda net: torchattacks.PGDL2(net, 1.4, 0.5, 5)),
    ],
)
def test_one_try_is_torchattacks_own(net, data, attack, theirs):
    x, y = data
    net.eval()
    torch.manual_seed(4)
    ours = attack.bind(net)(x, y)
    torch.manual_seed(4)
    assert torch.equal(ours, theirs(net)(x, y))


@pytest.fixture
def trained(net, data):
    return train(net.requires_grad_(), data, epochs=6, lr=0.05, batch_size=16)


WEAK = {"linf": (0.22, 0.2), "l2": (1.2, 0.8)}  # radius and step: the start decides


@pytest.mark.parametrize("norm", ["linf", "l2"])
def test_a_restart_keeps_what_an_earlier_one_fooled(trained, data, norm):
    x, y = data
    eps, size = WEAK[norm]

    def run(restarts):
        torch.manual_seed(1)
        attacked = PGD(eps, 1, size, norm=norm, restarts=restarts).bind(trained)(x, y)
        with torch.no_grad():
            return attacked, trained(attacked).argmax(1) != y

    (first, fooled), (last, fooled_at_last) = run(1), run(6)
    assert 0 < fooled.sum() < fooled_at_last.sum() <= len(y)
    assert not (fooled & ~fooled_at_last).any()
    assert torch.equal(last[fooled], first[fooled])
    assert (_lengths(last - x, norm) <= eps * (1 + 1e-5)).all()
    assert last.min() >= 0
    assert last.max() <= 1


def test_a_restart_meets_only_what_stands(data):
    sizes = []

    class Half(nn.Module):
        """Two classes by the sign of the mean's distance from a half; counts its images."""

        def forward(self, x):
            sizes.append(len(x))
            mean = x.flatten(1).mean(1)
            return torch.stack([0.5 - mean, mean - 0.5], 1)

    model = nn.Sequential(Half(), nn.Linear(2, 2, bias=False))
    model[1].weight.data = torch.eye(2)
    x = torch.cat([torch.full((3, 1, 8, 8), 0.48), torch.full((5, 1, 8, 8), 0.1)])
    attack = PGD(0.1, 2, restarts=3)
    attacked = attack.bind(model)(x, torch.zeros(8).long())
    assert sizes == [8, 8, 8, 5, 5, 5, 5, 5]
    assert len(sizes) == attack.forwards
    assert (attacked[:3].flatten(1).mean(1) > 0.5).all()
    sizes.clear()
    PGD(0.1, 2, restarts=3).bind(model)(x[:3], torch.zeros(3).long())
    assert sizes == [3, 3, 3]


@pytest.mark.parametrize("attack", [PGD(0.2, 2, restarts=2), PGD(1.0, 2, norm="l2")])
def test_restarts_and_l2_leave_the_model(net, data, trace, same, attack):
    before = trace(net)[:4]
    attack.bind(net)(*data)
    assert same(before, trace(net)[:4])


def test_l2_takes_any_memory_layout(trained, data):
    x, y = data
    attack = PGD(1.0, 3, norm="l2", random_start=False)
    expected = attack.bind(trained)(x, y)
    wide = nn.Sequential(nn.Conv2d(3, 1, 1), trained).eval().to(memory_format=torch.channels_last)
    colour = torch.cat([x, x, x], 1).to(memory_format=torch.channels_last)
    assert torch.isfinite(attack.bind(wide)(colour, y)).all()
    last = trained.to(memory_format=torch.channels_last)
    assert torch.allclose(attack.bind(last)(x, y), expected, atol=1e-5)


@pytest.mark.parametrize("attack", [FGSM(0.25), PGD(0.25, 3, random_start=False)])
def test_what_claims_to_need_no_chance_needs_none(trained, data, attack):
    assert attack.deterministic
    assert not PGD(0.25).deterministic
    torch.manual_seed(0)
    first = attack.bind(trained)(*data)
    torch.manual_seed(1)
    assert torch.equal(first, attack.bind(trained)(*data))


@pytest.mark.parametrize(
    "attack", [PGD(0.2, 3, restarts=3), PGD(1.2, 3, norm="l2"), PGD(1.2, 3, norm="l2", restarts=3)]
)
def test_evaluate_takes_every_kind_of_pgd(net, data, trace, same, attack, capsys):
    before = trace(net)
    report = evaluate(net, data, attack, seed=3)
    assert same(before, trace(net))
    torch.manual_seed(9)
    again = evaluate(net, data, attack, seed=3)
    assert (report.robust_mask == again.robust_mask).all()
    assert not (report.robust_mask & ~report.clean_mask).any()
    assert capsys.readouterr() == ("", "")


def _lengths(moves, norm):
    return moves.flatten(1).norm(dim=1, p=float("inf") if norm == "linf" else 2)


def test_details_say_what_the_label_leaves_out():
    assert PGD(8 / 255, 20).details == "step 1/255, random start"
    assert PGD(0.1, 1, 0.1, random_start=False).details == "step 0.1, from the image itself"
    assert FGSM(0.1).details == AutoAttack(0.1).details == ""
    staged = AttackSequence([FGSM(0.1), PGD(8 / 255, 20)])
    assert staged.details == "2: step 1/255, random start"
