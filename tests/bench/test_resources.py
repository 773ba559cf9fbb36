"""The places of the bundled files, in a checkout and in an installed package."""

from __future__ import annotations

import pytest

from gdws_explorer.bench import resources
from gdws_explorer.errors import DataError


@pytest.fixture
def installed(tmp_path, monkeypatch):
    """A package with its own data, outside of a checkout."""
    package = tmp_path / "site-packages" / "gdws_explorer"
    (package / "_data").mkdir(parents=True)
    (package / "_data" / "digits.npz").touch()
    monkeypatch.setattr(resources, "PACKAGE", package)
    return package


def test_a_checkout_has_its_data_and_notebooks():
    root = resources.checkout()
    assert root is not None
    assert resources.data_file("digits.npz") == root / "data" / "digits.npz"


def test_an_installed_package_has_its_data_inside(installed):
    assert resources.checkout() is None
    assert resources.data_file("digits.npz") == installed / "_data" / "digits.npz"


def test_a_missing_file_is_named(installed):
    assert resources.find_data_file("letters.npz") is None
    with pytest.raises(DataError, match=r"letters\.npz is missing; install gdws-explorer again"):
        resources.data_file("letters.npz")
