"""The AutoAttack family: APGD, FAB, Square and the ensemble."""

import json
from dataclasses import replace

import numpy as np
import pytest
import torch
import torchattacks
from torch import nn

import gdws_explorer as gx
from gdws_explorer.errors import DataError
from gdws_explorer.robust import FGSM, PGD, evaluate, torchattacks_fixes
from gdws_explorer.robust import autoattack as strong_module
from gdws_explorer.robust.attacks import APGD, FAB, AutoAttack, Square
from gdws_explorer.training import train

QUICK = [
    APGD(0.2, 5),
    APGD(0.2, 5, restarts=2),
    APGD(0.2, 5, loss="dlr"),
    APGD(0.2, 5, targeted=True),
    APGD(0.2, 5, targeted=True, restarts=2),
    FAB(0.2, 5),
    FAB(0.2, 5, restarts=2),
    Square(0.2, 60),
    Square(0.2, 60, restarts=2),
    APGD(1.2, 5, norm="l2"),
    APGD(1.2, 5, norm="l2", targeted=True),
    FAB(1.2, 5, norm="l2"),
    Square(1.2, 60, norm="l2"),
]
EVERY = [*QUICK, AutoAttack(0.2), AutoAttack(1.2, norm="l2")]


def _name(attack):
    return attack.label


@pytest.fixture(autouse=True)
def few_steps(request, monkeypatch):
    """The ensemble with few steps, but where it is measured."""
    if "slow" in request.keywords:
        return

    def parts(self):
        settings = {"norm": self.norm}
        return (
            APGD(self.eps, 5, **settings),
            APGD(self.eps, 5, targeted=True, **settings),
            FAB(self.eps, 5, **settings),
            Square(self.eps, 60, **settings),
        )

    monkeypatch.setattr(strong_module.AutoAttack, "parts", property(parts))


@pytest.fixture(scope="module")
def digits():
    return gx.load("digits")


@pytest.fixture
def trained(net, data):
    return train(net.requires_grad_(), data, epochs=6, lr=0.05, batch_size=16)


def _lengths(moves, norm):
    return moves.flatten(1).norm(dim=1, p=float("inf") if norm == "linf" else 2)


def _right(model, x, y):
    with torch.no_grad():
        return model(x).argmax(1) == y


@pytest.mark.parametrize("attack", EVERY, ids=_name)
def test_attacked_images_keep_the_budget_and_fool(trained, data, attack):
    x, y = data
    torch.manual_seed(0)
    attacked = attack.bind(trained)(x, y)
    assert (attacked.dtype, attacked.shape) == (x.dtype, x.shape)
    assert not attacked.requires_grad
    lengths = _lengths(attacked - x, attack.norm)
    assert lengths.max() <= attack.eps * (1 + 1e-5)
    assert attacked.min() >= 0
    assert attacked.max() <= 1
    clean, stands = _right(trained, x, y), _right(trained, attacked, y)
    assert (clean & ~stands).any()
    # Missed as it is, or not fooled: it comes back as it was.
    assert (lengths[~clean | stands] == 0).all()


@pytest.mark.slow
@pytest.mark.parametrize("attack", EVERY, ids=_name)
def test_evaluate_takes_every_attack(digits, attack, trace, same, capsys):
    before = trace(digits.model)
    report = evaluate(digits.model, digits.data, attack, n=12, seed=3)
    assert same(before, trace(digits.model))
    assert not (report.robust_mask & ~report.clean_mask).any()
    assert report.attack == attack
    torch.manual_seed(9)
    again = evaluate(digits.model, digits.data, attack, n=12, seed=3)
    assert np.array_equal(report.robust_mask, again.robust_mask)
    assert capsys.readouterr() == ("", "")


@pytest.mark.parametrize("attack", EVERY, ids=_name)
def test_an_attack_on_its_own_leaves_the_model_too(net, data, trace, same, attack):
    """Straight through `bind`: a training model with frozen parts, and gradients of the user's."""
    before = trace(net)[:4]
    attack.bind(net)(*data)
    assert same(before, trace(net)[:4])


@pytest.mark.parametrize("attack", EVERY, ids=_name)
def test_torchs_generator_moves_on_and_decides(trained, data, attack):
    strike = attack.bind(trained)
    torch.manual_seed(5)
    first, after = strike(*data), torch.rand(4)
    second, later = strike(*data), torch.rand(4)
    torch.manual_seed(5)
    assert torch.equal(strike(*data), first)
    assert torch.equal(torch.rand(4), after)
    # torchattacks would put the generator back to the same place after every batch.
    assert not torch.equal(after, later)
    assert attack.deterministic == (type(attack) is FAB and attack.restarts == 1)
    if attack.deterministic:
        assert torch.equal(first, second)
    elif type(attack) is not FAB:
        assert not torch.equal(first, second)


@pytest.mark.parametrize("attack", EVERY, ids=_name)
def test_forwards_is_the_most_that_a_batch_takes(data, attack):
    """Of ten classes, for nine are attacked one by one; right on all images, by its own word."""
    torch.manual_seed(0)
    model = nn.Sequential(nn.Flatten(), nn.Linear(64, 10)).eval()
    x = data[0][:3]
    y, calls = model(x).argmax(1), []
    model.register_forward_pre_hook(lambda *_: calls.append(1))
    for eps in (1e-4, attack.eps):
        calls.clear()
        tried = replace(attack, eps=eps)
        tried.bind(model)(x, y)
        if eps == 1e-4:  # nothing is fooled
            assert len(calls) == tried.forwards
        assert len(calls) <= tried.forwards


@pytest.mark.parametrize("attack", [APGD(0.16, 1), Square(0.24, 20)], ids=_name)
def test_restarts_keep_what_the_first_try_fooled(trained, data, attack):
    x, y = data
    masks = []
    for restarts in (1, 4):
        torch.manual_seed(2)
        attacked = replace(attack, restarts=restarts).bind(trained)(x, y)
        masks.append(~_right(trained, attacked, y))
    assert not (masks[0] & ~masks[1]).any()
    assert 0 < masks[0].sum() < masks[1].sum()


@pytest.mark.slow
@pytest.mark.parametrize("norm", ["linf", "l2"])
def test_apgd_t_is_torchattacks_where_that_is_right(trained, data, norm, monkeypatch):
    """One target and one image, as torchattacks gives a whole ℓ2 batch the first one's step."""
    monkeypatch.setattr(
        torchattacks_fixes, "noise_per_image", lambda draw, images, shape: draw(shape)
    )
    trained.eval()
    x, y = data
    right = _right(trained, x, y)
    x, y = x[right], y[right]
    fooled = 0
    short = norm == "linf"
    settings = {"eps": 0.2 if short else 1.2, "steps": 12, "norm": "Linf" if short else "L2"}
    for part in (slice(i, i + 1) for i in range(24)):
        theirs = torchattacks.APGDT(trained, n_classes=2, seed=7, **settings)
        ours = torchattacks_fixes.TargetedAPGD(
            torchattacks_fixes.TorchattacksAdapter(trained).eval(), seed=7, **settings
        )
        ours.n_target_classes = 1
        with torch.random.fork_rng():
            expected, found = theirs(x[part], y[part]), ours(x[part], y[part])
        assert torch.allclose(found, expected, atol=1e-6)
        fooled += int((_lengths(found - x[part], norm) > 0).sum())
    assert fooled > 3


@pytest.mark.parametrize("attack", [a for a in EVERY if a != FAB(0.2, 5, restarts=2)], ids=_name)
def test_what_an_image_meets_does_not_depend_on_its_neighbours(trained, data, attack):
    """So every plan meets the same noise, and a later stage fools what it would fool alone."""
    x, y = data
    at = torch.tensor([3, 4, 9, 20, 21, 40])
    torch.manual_seed(6)
    whole = attack.bind(trained)(x, y)[at]
    torch.manual_seed(6)
    few = attack.bind(trained)(x[at], y[at])
    assert torch.equal(_right(trained, whole, y[at]), _right(trained, few, y[at]))
    assert torch.allclose(whole, few, atol=1e-4)


def test_every_part_of_autoattack_runs_on_what_stands(trained, data):
    x, y = data
    seen = []

    class Seeing(nn.Module):
        def __init__(self):
            super().__init__()
            self.inner = trained

        def forward(self, images):
            seen.append(len(images))
            return self.inner(images)

    attack, model = AutoAttack(0.14), Seeing().eval()
    torch.manual_seed(0)
    first = _right(trained, attack.parts[0].bind(model)(x, y), y)
    calls = len(seen)
    seen.clear()
    torch.manual_seed(0)
    last = _right(trained, attack.bind(model)(x, y), y)
    assert 0 < last.sum() < first.sum() < len(y)
    assert not (last & ~first).any()
    # One image tells how many classes there are, and the first part is judged on all images.
    assert seen[calls + 1] == len(y)
    assert max(seen[calls + 2 :]) == first.sum()


def test_autoattack_has_the_papers_settings(request):
    parts = AutoAttack.parts
    request.getfixturevalue("monkeypatch").undo()
    assert AutoAttack(0.1, norm="l2").parts == (
        APGD(0.1, 100, norm="l2"),
        APGD(0.1, 100, norm="l2", targeted=True),
        FAB(0.1, 100, norm="l2"),
        Square(0.1, 5000, norm="l2"),
    )
    assert AutoAttack.parts is not parts
    assert strong_module.TARGETS == 9


@pytest.mark.slow
def test_strength_on_a_trained_network(digits):
    """60 digits, the same for all: nothing stands against AutoAttack that a part of it fooled."""
    attack = AutoAttack(0.26)
    standing = evaluate(digits.model, digits.data, attack, n=60).robust_mask
    assert 0 < standing.sum() < 45
    for part in (*attack.parts, FGSM(0.26), PGD(0.26, 10)):
        alone = evaluate(digits.model, digits.data, part, n=60).robust_mask
        assert not (standing & ~alone).any(), part.label
        if part == APGD(0.26, targeted=True):
            targeted = alone
    assert targeted.sum() <= evaluate(digits.model, digits.data, PGD(0.26, 10), n=60).robust_correct


@pytest.mark.parametrize(
    ("attack", "classes", "words"),
    [
        (APGD(0.1, 2, targeted=True), 3, "APGD-T needs scores of at least 4 classes.* has 3"),
        (APGD(0.1, 2, loss="dlr"), 2, "APGD-DLR needs scores of at least 3 classes.* has 2"),
        (AutoAttack(0.1), 3, "AutoAttack needs scores of at least 4 classes.* has 3"),
        (FAB(0.1, 2), 1, "FAB-T needs scores of at least 2 classes.* has 1"),
    ],
    ids=str,
)
def test_too_few_classes_are_named(data, attack, classes, words):
    model = nn.Sequential(nn.Flatten(), nn.Linear(64, classes))
    with pytest.raises(DataError, match=words):
        attack.bind(model)(data[0], torch.zeros(len(data[0])).long())


@pytest.mark.parametrize(
    "attack", [APGD(0.2, 5), FAB(0.2, 5), Square(0.2, 60), Square(2.0, 60, norm="l2")], ids=_name
)
def test_two_classes_are_enough(data, attack):
    x = data[0]
    torch.manual_seed(0)
    model = nn.Sequential(nn.Flatten(), nn.Linear(64, 2, bias=False))
    labels = model(x).argmax(1)
    assert not _right(model, attack.bind(model)(x, labels), labels).all()


@pytest.mark.parametrize("attack", [Square(0.5, 9, norm="l2"), AutoAttack(0.5, norm="l2")])
def test_sizes_that_square_cannot_cover_are_named(attack):
    calls = []
    model = nn.Sequential(nn.AdaptiveAvgPool2d(2), nn.Flatten())
    model.register_forward_pre_hook(lambda *_: calls.append(1))
    for shape in ((12, 12), (24, 24), (32, 20), (4, 4)):
        with pytest.raises(DataError, match=rf"{shape[0]}×{shape[1]}.* expected square ones"):
            attack.bind(model)(torch.rand(2, 1, *shape), torch.zeros(2).long())
    assert len(calls) <= 4  # before anything is attacked


@pytest.mark.parametrize("norm", ["linf", "l2"])
@pytest.mark.parametrize("side", [5, 8, 11, 13, 28, 32])
def test_square_covers_the_usual_sizes(side, norm):
    model = nn.Sequential(nn.AdaptiveAvgPool2d(2), nn.Flatten())
    x = torch.rand(3, 1, side, side)
    labels = model(x).argmax(1)
    attacked = Square(0.9, 30, norm=norm).bind(model)(x, labels)
    assert torch.isfinite(attacked).all()


def test_square_does_not_write_into_scores_that_are_the_images(data):
    class Corner(nn.Module):
        def forward(self, x):
            return x.flatten(1)[:, :4]

    x = data[0].clone()
    labels = Corner()(x).argmax(1)
    attacked = Square(0.05, 40).bind(Corner())(x, labels)
    assert torch.equal(x, data[0])
    assert torch.isfinite(attacked).all()
    assert (attacked - x).abs().max() <= 0.05 + 1e-6


@pytest.mark.parametrize("attack", EVERY, ids=_name)
def test_double_precision_and_channels_last(trained, data, attack):
    x, y = data
    colour = torch.cat([x, x.flip(2), x.flip(3)], 1)
    front = nn.Conv2d(3, 1, 1, bias=False)
    front.weight.data = torch.tensor([0.8, 0.1, 0.1]).view(1, 3, 1, 1)
    model = nn.Sequential(front, *trained).eval().to(memory_format=torch.channels_last)
    single = colour[:12].to(memory_format=torch.channels_last)
    torch.manual_seed(0)
    assert torch.isfinite(attack.bind(model)(single, y[:12])).all()
    attacked = attack.bind(model.double())(colour[:12].double(), y[:12])
    assert attacked.dtype == torch.float64
    assert _lengths(attacked - colour[:12], attack.norm).max() <= attack.eps * (1 + 1e-5)


def test_training_against_apgd_meets_new_orders(net, data):
    """An attack that reseeds torch's generator would shuffle every epoch the same."""
    orders = []

    def note(x):
        orders.append(x.clone())
        return x

    train(net, data, APGD(0.1, 1), augment=note, epochs=2, lr=0.01, batch_size=48)
    assert not torch.equal(orders[0], orders[1])


@pytest.mark.parametrize("attack", EVERY, ids=_name)
def test_json_round_trip(attack):
    raw = json.loads(json.dumps(attack.to_dict()))
    again = gx.robust.attack_from_dict(raw)
    assert again == attack
    assert again.to_dict() == raw
    assert hash(again) == hash(attack)


@pytest.mark.parametrize(
    "make",
    [
        lambda: APGD(8),
        lambda: APGD(0.1, 0),
        lambda: APGD(0.1, 2.5),
        lambda: APGD(0.1, norm="L2"),
        lambda: APGD(0.1, restarts=0),
        lambda: APGD(0.1, loss="cross-entropy"),
        lambda: APGD(0.1, targeted=1),
        lambda: APGD(0.1, targeted=True, loss="dlr"),
        lambda: FAB(0),
        lambda: FAB(0.1, steps=-1),
        lambda: FAB(0.1, restarts=1.0),
        lambda: FAB(float("nan"), norm="l2"),
        lambda: Square(8, norm="linf"),
        lambda: Square(0.1, queries=0),
        lambda: Square(0.1, restarts=None),
        lambda: Square("0.1", norm="l2"),
        lambda: AutoAttack(2),
        lambda: AutoAttack(-1, norm="l2"),
        lambda: AutoAttack(0.1, norm=None),
    ],
)
def test_nonsense_is_refused(make):
    with pytest.raises(DataError, match="expected"):
        make()


def test_an_l2_radius_may_exceed_one():
    for kind in (PGD, APGD, FAB, Square, AutoAttack):
        assert kind(7.5, norm="l2").eps == 7.5
