"""Library versions and the machine of a measurement."""

import platform

import torch

from gdws_explorer.utils import provenance


def test_versions_of_what_a_measurement_depends_on(monkeypatch):
    versions = provenance.library_versions()
    assert versions["torch"] == torch.__version__.split("+")[0] or versions["torch"].startswith(
        torch.__version__.split("+")[0]
    )
    monkeypatch.setattr(provenance, "MEASURED_WITH", ("torch", "a-package-that-nobody-has"))
    assert list(provenance.library_versions()) == ["torch"]


def test_the_machine_has_no_name():
    assert platform.system() in provenance.machine()
    assert provenance.machine().endswith("cores")
    assert not platform.node() or platform.node() not in provenance.machine()
