import numpy as np
import pytest
import torch

from gdws_explorer.errors import PlanError
from gdws_explorer.network.plans.choices import (
    CHOICE_CLASSES,
    FAMILY_NAMES,
    GDWS,
    SVD,
    Dense,
    SpatialSVD,
    Tucker2,
    family_of,
    ranks_of,
)

CHOICES = {
    Dense(): ("dense", (), "dense"),
    GDWS(3): ("gdws", (3,), "GDWS G=3"),
    GDWS(3, (1, 2)): ("gdws", (3,), "GDWS G=3 (weighted)"),
    Tucker2(4, 5): ("tucker2", (4, 5), "Tucker-2 4×5"),
    SVD(6): ("svd", (6,), "SVD 6"),
    SpatialSVD(7): ("spatial", (7,), "spatial SVD 7"),
}


@pytest.mark.parametrize("choice", CHOICES, ids=str)
def test_family_ranks_and_text(choice):
    assert (family_of(choice), ranks_of(choice), str(choice)) == CHOICES[choice]
    assert CHOICE_CLASSES[FAMILY_NAMES[type(choice)]] is type(choice)


def test_whole_numbers_of_other_libraries_are_taken():
    assert GDWS(np.int64(3), counts=(torch.tensor(1), np.int32(2))) == GDWS(3, (1, 2))
    assert type(Tucker2(np.int8(2), 3).r_out) is int


@pytest.mark.parametrize("value", [1.5, True, "3", None])
def test_other_numbers_are_refused(value):
    for make in (GDWS, SVD, SpatialSVD, lambda v: Tucker2(v, 1), lambda v: GDWS(1, (v,))):
        with pytest.raises(PlanError, match="expected a whole number"):
            make(value)


def test_what_is_not_a_choice():
    with pytest.raises(PlanError, match=r"'gdws' is not a choice for a layer; expected gx.Dense"):
        family_of("gdws")
