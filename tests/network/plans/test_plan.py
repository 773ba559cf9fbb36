"""Plans: values, hashes and JSON, and every way in which a file can be wrong."""

import copy
import dataclasses
import hashlib
import json

import numpy as np
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st

from gdws_explorer.errors import ExplorerError, PlanError
from gdws_explorer.network.plans.choices import (
    GDWS,
    SVD,
    Dense,
    SpatialSVD,
    Tucker2,
    family_of,
    ranks_of,
)
from gdws_explorer.network.plans.plan import Plan

PLAN = Plan(
    "f" * 64,
    (3, 8, 8),
    (("a", Dense()), ("b", GDWS(7)), ("c", GDWS(3, (1, 0, 2))), ("d", Tucker2(4, 5))),
)


def resigned(raw):
    """The plan file with a right checksum, as one who knows the format would edit it."""
    content = {k: raw[k] for k in ("fingerprint", "input_shape", "layers")}
    return {**raw, "checksum": hashlib.sha256(json.dumps(content).encode()).hexdigest()}


def edited(**changes):
    return {**json.loads(PLAN.to_json()), **changes}


def with_layer(entry):
    raw = json.loads(PLAN.to_json())
    raw["layers"]["b"] = entry
    return raw


@pytest.mark.parametrize("calibration", [None, "refit+é"])
def test_the_checksum_is_that_of_the_json_of_the_content(calibration):
    plan = Plan(
        "f" * 64, (3, 8, 8), (*PLAN.layers, ('é"x', SVD(2)), ("s", SpatialSVD(3))), calibration
    )
    for each in (plan, dataclasses.replace(plan, layers=())):
        content = each.to_dict()
        checksum = content.pop("checksum")
        del content["schema"]
        assert hashlib.sha256(json.dumps(content).encode()).hexdigest() == checksum


def test_a_plan_is_a_value():
    assert PLAN["b"] == GDWS(7)
    assert len(PLAN) == 4
    assert [name for name, _ in PLAN] == ["a", "b", "c", "d"]
    twin = Plan.from_json(PLAN.to_json())
    assert (twin, hash(twin), twin.hash) == (PLAN, hash(PLAN), PLAN.hash)
    with pytest.raises(dataclasses.FrozenInstanceError):
        PLAN.layers = ()
    with pytest.raises(dataclasses.FrozenInstanceError):
        PLAN["b"].G = 3


def test_replace_and_update_make_new_plans():
    other = PLAN.replace("a", GDWS(2))
    assert (other["a"], PLAN["a"]) == (GDWS(2), Dense())
    assert [name for name, _ in other] == [name for name, _ in PLAN]
    assert other.hash != PLAN.hash
    assert other.replace("a", Dense()) == PLAN
    both = PLAN.update({"d": Dense(), "a": Tucker2(1, 1)})
    assert (both["a"], both["d"]) == (Tucker2(1, 1), Dense())
    assert PLAN.update({}) == PLAN


def test_the_hash_sees_every_part():
    plans = [
        PLAN,
        PLAN.replace("b", GDWS(8)),
        PLAN.replace("b", GDWS(7, (7,))),
        PLAN.replace("c", GDWS(3, (0, 1, 2))),
        PLAN.replace("d", Tucker2(5, 4)),
        PLAN.replace("b", SVD(7)),
        PLAN.replace("b", SpatialSVD(7)),
        PLAN.replace("b", SVD(8)),
        dataclasses.replace(PLAN, fingerprint="e" * 64),
        dataclasses.replace(PLAN, input_shape=(3, 8, 9)),
        dataclasses.replace(PLAN, layers=PLAN.layers[::-1]),
        dataclasses.replace(PLAN, layers=PLAN.layers[:-1]),
    ]
    assert len({p.hash for p in plans}) == len(plans)
    assert all(len(p.hash) == 16 for p in plans)


def test_words():
    assert str(PLAN) == "b GDWS G=7, c GDWS G=3 (weighted), d Tucker-2 4×5; 1 dense"
    assert str(Plan("f", (1,), (("a", Dense()),))) == "all layers dense"
    two = PLAN.update({"b": SVD(3), "c": SpatialSVD(2)})
    assert str(two) == "b SVD 3, c spatial SVD 2, d Tucker-2 4×5; 1 dense"
    every = (Dense(), GDWS(1), Tucker2(1, 2), SVD(3), SpatialSVD(4))
    assert [family_of(c) for c in every] == ["dense", "gdws", "tucker2", "svd", "spatial"]
    assert [ranks_of(c) for c in every] == [(), (1,), (1, 2), (3,), (4,)]


@pytest.mark.parametrize("whole", [np.int64(3), torch.tensor(3), np.uint8(3)])
def test_foreign_whole_numbers_become_plain_ones(whole):
    for choice in (
        GDWS(whole),
        GDWS(3, (whole,)),
        Tucker2(whole, whole),
        SVD(whole),
        SpatialSVD(whole),
    ):
        plan = PLAN.replace("b", choice)
        assert Plan.from_json(plan.to_json()) == plan
    assert GDWS(whole) == GDWS(3)
    assert GDWS(3, torch.tensor([1, 2])) == GDWS(3, [1, 2]) == GDWS(3, (1, 2))


@pytest.mark.parametrize("bad", [1.0, 1.5, "3", None, True, float("nan")])
def test_ranks_that_are_no_whole_numbers(bad):
    for make in (
        lambda: GDWS(bad),
        lambda: Tucker2(bad, 1),
        lambda: Tucker2(1, bad),
        lambda: SVD(bad),
        lambda: SpatialSVD(bad),
    ):
        with pytest.raises(PlanError, match="expected a whole number"):
            make()


@pytest.mark.parametrize("bad", [None, 3, "gdws", GDWS, (1, 2)])
def test_choices_that_are_none(bad):
    with pytest.raises(PlanError, match="is not a choice"):
        PLAN.replace("a", bad)


def test_a_layer_that_the_plan_lacks():
    for ask in (lambda: PLAN["z"], lambda: PLAN.replace("z", Dense())):
        with pytest.raises(PlanError, match="no layer 'z'; its layers are a, b, c, d"):
            ask()


# -- files ---------------------------------------------------------------------------------

choices = st.one_of(
    st.just(Dense()),
    st.builds(GDWS, st.integers(1, 10**6)),
    st.lists(st.integers(0, 99), min_size=1, max_size=5).map(lambda c: GDWS(max(1, sum(c)), c)),
    st.builds(Tucker2, st.integers(1, 999), st.integers(1, 999)),
    st.builds(SVD, st.integers(1, 9999)),
    st.builds(SpatialSVD, st.integers(1, 9999)),
)


@settings(deadline=None, max_examples=60)
@given(st.dictionaries(st.text(max_size=8), choices, max_size=5), st.text(max_size=9))
def test_json_round_trip(layers, fingerprint):
    plan = Plan(fingerprint, (3, 8, 8), tuple(layers.items()))
    try:
        text = plan.to_json()
        text.encode()
    except UnicodeEncodeError:
        return
    assert Plan.from_json(text) == plan
    assert Plan.from_json(text).hash == plan.hash


def test_save_and_load(tmp_path):
    PLAN.save(tmp_path / "plan.json")
    assert Plan.load(tmp_path / "plan.json") == PLAN
    assert Plan.load(str(tmp_path / "plan.json")) == PLAN


def test_every_truncation_is_refused():
    text = PLAN.to_json()
    for end in range(len(text.rstrip())):
        with pytest.raises(PlanError):
            Plan.from_json(text[:end])


def test_plans_without_counts_come_back_with_their_hash():
    plan = PLAN.replace("c", SVD(3)).replace("a", SpatialSVD(2))
    for one in (plan, dataclasses.replace(plan, calibration="refit+abc")):
        again = Plan.from_json(one.to_json())
        assert (again, again.hash) == (one, one.hash)
        assert again["d"] is Plan.from_json(one.to_json())["d"]  # read at once, not strictly


def test_every_edited_digit_is_refused():
    text = PLAN.to_json()
    for place, old in enumerate(text):
        if old.isdigit():
            with pytest.raises(PlanError):
                Plan.from_json(text[:place] + str((int(old) + 1) % 10) + text[place + 1 :])


@pytest.mark.parametrize(
    ("raw", "words"),
    [
        (edited(fingerprint="e" * 64), "was changed after it was written"),
        (with_layer({"family": "gdws", "G": 8}), "was changed after it was written"),
        (edited(schema=2), "schema 2, this version reads up to 1; update"),
        (edited(schema=0), "not a plan: schema"),
        (edited(schema="1"), "not a plan: schema"),
        (edited(schema=None), "not a plan: schema"),
        (edited(extra=1), "not a plan: extra"),
        (edited(layers=[]), "not a plan: layers"),
        (edited(input_shape=[3, "8", 8]), r"not a plan: input_shape\.1"),
        (edited(fingerprint=7), "not a plan: fingerprint"),
        ({k: v for k, v in edited().items() if k != "checksum"}, "not a plan: checksum"),
        ([], "top level"),
        (None, "top level"),
        ("plan", "top level"),
        (with_layer({"family": "cp", "rank": 3}), r"not a plan: layers\.b"),
        (with_layer({"family": "svd"}), r"not a plan: layers\.b"),
        (with_layer({"family": "svd", "rank": 0}), r"not a plan: layers\.b"),
        (with_layer({"family": "svd", "rank": True}), r"not a plan: layers\.b"),
        (with_layer({"family": "svd", "rank": 3, "G": 3}), r"not a plan: layers\.b"),
        (with_layer({"family": "svd", "G": 3}), r"not a plan: layers\.b"),
        (with_layer({"family": "spatial"}), r"not a plan: layers\.b"),
        (with_layer({"family": "spatial", "rank": 2.5}), r"not a plan: layers\.b"),
        (with_layer({"family": "spatial", "rank": -1}), r"not a plan: layers\.b"),
        (with_layer({"G": 3}), r"not a plan: layers\.b"),
        (with_layer({"family": "gdws", "G": 0}), r"not a plan: layers\.b"),
        (with_layer({"family": "gdws", "G": 1.5}), r"not a plan: layers\.b"),
        (with_layer({"family": "gdws", "G": True}), r"not a plan: layers\.b"),
        (with_layer({"family": "gdws", "G": "7"}), r"not a plan: layers\.b"),
        (with_layer({"family": "gdws", "G": 1, "counts": [-1, 2]}), r"not a plan: layers\.b"),
        (with_layer({"family": "tucker2", "r_out": 1}), r"not a plan: layers\.b"),
        (with_layer({"family": "dense", "G": 3}), r"not a plan: layers\.b"),
        (with_layer(None), r"not a plan: layers\.b"),
    ],
)
@pytest.mark.parametrize("counts", [True, False])  # lists of counts are always read strictly
@pytest.mark.parametrize("signed", [False, True])
def test_files_that_are_no_plans(raw, words, signed, counts):
    if not counts and isinstance(raw, dict) and isinstance(raw.get("layers"), dict):
        raw = copy.deepcopy(raw)
        raw["layers"].get("c", {}).pop("counts", None)
    if signed and isinstance(raw, dict) and "checksum" in raw:
        if "was changed" in words:  # signed again, it is a plan: of another network, perhaps
            assert Plan.from_dict(resigned(raw)) != PLAN
            return
        raw = resigned(raw)
    with pytest.raises(PlanError, match=words) as caught:
        Plan.from_json(json.dumps(raw), where="plan.json")
    assert str(caught.value).startswith("plan.json")
    assert "\n" not in str(caught.value)


def test_files_that_cannot_be_read(tmp_path):
    (tmp_path / "binary.json").write_bytes(b"\xff\xfe\x00")
    (tmp_path / "empty.json").write_text("")
    for name in ("missing.json", "binary.json", "empty.json", "."):
        with pytest.raises(PlanError) as caught:
            Plan.load(tmp_path / name)
        assert str(tmp_path) in str(caught.value)


def test_plan_errors_are_explorer_errors():
    assert issubclass(PlanError, ExplorerError)
    assert issubclass(ExplorerError, ValueError)
