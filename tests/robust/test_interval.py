import pytest

from gdws_explorer.errors import DataError
from gdws_explorer.robust import wilson


@pytest.mark.parametrize(
    ("correct", "n", "low", "high"),
    [
        # Newcombe, Statistics in Medicine 17 (1998), table I, method 3.
        (81, 263, 0.2553, 0.3662),
        (15, 148, 0.0624, 0.1605),
        (0, 20, 0.0000, 0.1611),
        (1, 29, 0.0061, 0.1718),
    ],
)
def test_published_values(correct, n, low, high):
    assert wilson(correct, n) == pytest.approx((low, high), abs=5e-5)


def test_sides_mirror_each_other_and_hold_the_fraction():
    for n in (1, 7, 360):
        for correct in range(n + 1):
            low, high = wilson(correct, n)
            assert 0 <= low <= correct / n <= high <= 1
            assert wilson(n - correct, n) == pytest.approx((1 - high, 1 - low))


def test_more_images_or_less_certainty_narrow_it():
    def width(*arguments):
        low, high = wilson(*arguments)
        return high - low

    assert width(500, 1000) < width(50, 100)
    assert width(50, 100, 0.8) < width(50, 100) < width(50, 100, 0.99)


@pytest.mark.parametrize("arguments", [(5, 4), (-1, 4), (0, 0), (1, 2, 1.0), (1, 2, 0.0)])
def test_nonsense_is_refused(arguments):
    with pytest.raises(DataError, match="expected"):
        wilson(*arguments)
