import numpy as np
import pytest

from gdws_explorer.study.prediction import predict


@pytest.fixture
def curve(record):
    """Records with these (relative error, robust images of 360)."""
    return lambda *points: [
        record(1 + i, relative_error=error, robust=robust)
        for i, (error, robust) in enumerate(points)
    ]


def test_fewer_than_two_records_say_nothing(curve, record):
    assert predict([], 0.1) is None
    assert predict(curve((0.1, 300)), 0.1) is None
    assert predict([record(1, robust=None), record(2)], 0.1) is None


def test_between_two_records_it_is_linear_in_the_logarithm(curve):
    records = curve((0.01, 360), (0.1, 180))
    assert predict(records, np.sqrt(0.001)) == pytest.approx(0.75)


def test_outside_the_nearest_record_holds(curve):
    records = curve((0.01, 360), (0.1, 180))
    assert predict(records, 0.9) == 0.5
    assert predict(records, 0.0) == 1.0


def test_more_error_never_promises_more_accuracy(curve):
    records = curve((0.0, 320), (0.01, 330), (0.02, 310), (0.1, 315), (0.3, 100))
    guesses = [predict(records, error) for error in np.geomspace(1e-9, 1, 200)]
    assert (np.diff(guesses) <= 1e-12).all()
    assert predict(records, 0.0) == pytest.approx(325 / 360)  # the first two, made level


def test_records_of_one_error_count_as_their_mean(curve):
    records = curve((0.1, 180), (0.1, 360), (0.2, 0))
    assert predict(records, 0.1) == pytest.approx(0.75)


def test_clean_accuracy_on_request(curve):
    records = curve((0.01, 300), (0.1, 180))
    assert predict(records, 0.05, "clean") == pytest.approx(350 / 360)
