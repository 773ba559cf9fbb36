import subprocess
import sys

import pytest

from gdws_explorer.bench import torchvision_import
from gdws_explorer.errors import ExplorerError

FIRST = """
import warnings
from gdws_explorer.bench.torchvision_import import torchvision
with warnings.catch_warnings(record=True) as told:
    warnings.simplefilter("always")
    first, second = torchvision(), torchvision()
assert first is second
ours = [each for each in told if "compiled operators" in str(each.message)]
assert len(ours) <= 1
assert all(each.category is RuntimeWarning for each in ours)
import torch
assert first.models.resnet18()(torch.rand(1, 3, 64, 64)).shape == (1, 1000)
assert first.transforms.CenterCrop(4)(torch.rand(3, 8, 8)).shape == (3, 4, 4)
assert first.datasets.CIFAR10
print(len(ours))
"""
BROKEN = """
import torch
try:
    import torchvision
except RuntimeError as error:
    print("broken" if "operator torchvision::nms does not exist" in str(error) else error)
else:
    print("whole")
"""


def fresh(code):
    return subprocess.run([sys.executable, "-c", code], capture_output=True, text=True)


@pytest.mark.slow
def test_torchvision_works_and_warns_once_where_its_operators_are_missing():
    pytest.importorskip("PIL")
    plain = fresh(BROKEN).stdout.strip()
    if plain not in ("broken", "whole"):
        pytest.skip(f"torchvision: {plain}")
    answer = fresh(FIRST)
    assert answer.returncode == 0, answer.stderr
    assert answer.stdout.strip() == ("1" if plain == "broken" else "0")


def test_a_missing_torchvision_is_named(monkeypatch):
    for name in [name for name in sys.modules if name.partition(".")[0] == "torchvision"]:
        monkeypatch.delitem(sys.modules, name)
    monkeypatch.setitem(sys.modules, "torchvision", None)
    with pytest.raises(ExplorerError, match=r"needs torchvision.*gdws-explorer\[vision\]"):
        torchvision_import.torchvision()


def test_other_errors_are_not_hidden(monkeypatch):
    def broken():
        raise RuntimeError("something else")

    monkeypatch.setattr(torchvision_import, "_imported", broken)
    with pytest.raises(RuntimeError, match="something else"):
        torchvision_import.torchvision()


@pytest.mark.slow
def test_nothing_of_torchvision_is_loaded_before_it_is_needed():
    code = (
        "import sys; from gdws_explorer.bench import cifar_models, checkpoint, data;"
        "from gdws_explorer.bench import model_registry, torchvision_import;"
        "print([m for m in ('torchvision', 'timm', 'PIL') if m in sys.modules])"
    )
    answer = fresh(code)
    assert answer.stdout.strip() == "[]", answer.stderr
