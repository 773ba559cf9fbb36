import pytest
from pydantic import ValidationError

from gdws_explorer.network.plans.choices import GDWS, SVD, Dense, SpatialSVD, Tucker2
from gdws_explorer.network.plans.plan_json import PlanFile, entry_of, plain_choice

CHOICES = [Dense(), GDWS(3), GDWS(3, (1, 2, 0)), Tucker2(4, 5), SVD(6), SpatialSVD(7)]


def strictly(entry):
    raw = {
        "schema": 1, "fingerprint": "f", "input_shape": [3, 8, 8], "layers": {"a": entry},
        "checksum": "c",
    }  # fmt: skip
    return PlanFile.model_validate(raw).layers["a"].choice()


@pytest.mark.parametrize("choice", CHOICES, ids=str)
def test_both_readers_return_the_choice(choice):
    entry = entry_of(choice)
    assert strictly(entry) == choice
    if not (isinstance(choice, GDWS) and choice.counts):
        assert plain_choice(entry) == choice


@pytest.mark.parametrize(
    "entry",
    [
        {"family": "gdws", "G": 0},
        {"family": "gdws", "G": 1.0},
        {"family": "gdws", "G": True},
        {"family": "gdws"},
        {"family": "svd", "rank": 3, "more": 1},
        {"family": "cp", "rank": 3},
        {"rank": 3},
        {"family": "tucker2", "r_out": 1, "r_in": -2},
    ],
)
def test_both_readers_refuse(entry):
    with pytest.raises(ValidationError):
        strictly(entry)
    with pytest.raises((ValueError, KeyError, TypeError)):
        plain_choice(entry)
