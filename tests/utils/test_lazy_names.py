"""Names that are imported at their first use."""

import json
import json.decoder

import pytest

from gdws_explorer.utils.lazy_names import lazy_names

NAMES = {"JSONDecoder": "decoder", "decoder": "decoder"}


def test_a_name_is_that_of_its_module_and_a_module_is_itself():
    get = lazy_names("json", NAMES)
    assert get("JSONDecoder") is json.decoder.JSONDecoder
    assert get("decoder") is json.decoder


def test_another_name_is_named():
    with pytest.raises(AttributeError, match="module 'json' has no attribute 'Encoder'"):
        lazy_names("json", NAMES)("Encoder")
