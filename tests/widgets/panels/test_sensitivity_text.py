"""The sentences about layer-wise sensitivity."""

from types import SimpleNamespace

import pytest

from gdws_explorer.session.jobs import Job
from gdws_explorer.session.session import Session
from gdws_explorer.study.layerwise import LayerwiseProgress
from gdws_explorer.study.rank_correlation import RankCorrelation
from gdws_explorer.widgets.panels import sensitivity_text as texts


def info(*names):
    layers = [SimpleNamespace(name=name) for name in names]
    return SimpleNamespace(axis="relative error of the kernel", sensitive=lambda metric: layers)


def correlation(rho, **changed):
    return RankCorrelation(rho, None, None, 14, 7)._replace(**changed)


@pytest.mark.parametrize(
    ("rho", "words"),
    [
        (0.95, "almost perfectly"), (0.7, "approximations well"), (0.5, "roughly"),
        (0.0, "hardly"), (-0.9, "the wrong way round"), (-1.0, "the wrong way round"),
    ],
)  # fmt: skip
def test_every_rho_has_a_grade(rho, words):
    text = texts.correlation_text(correlation(rho), info(), "robust")
    assert f"ρ = {rho:.2f}: the relative error of the kernel" in text
    assert words in text


def test_what_is_known_besides_rho_is_added():
    text = texts.correlation_text(
        correlation(0.9, within=0.8, interval=(0.7, 1.0)), info(), "clean"
    )
    assert "ρ = 0.80 (median)" in text
    assert "bootstrap over the layers" in text
    undefined = correlation(None, why="all 14 losses are equal")
    assert "all 14 losses are equal" in texts.correlation_text(undefined, info(), "clean")


def test_the_caption_names_the_most_sensitive_layer():
    assert "conv2" in texts.caption_text(info("conv2", "fc"), "robust")
    assert "Most sensitive" not in texts.caption_text(info(), "robust")


def test_the_forecast_counts_what_is_missing():
    session = Session("digits")
    try:
        assert "3 evaluations, about 30 s" in texts.forecast_text(3, 5, 10.0, session)
        assert ">1 evaluation:" in texts.forecast_text(1, 5, None, session)
        assert "All 5 plans are measured" in texts.forecast_text(0, 5, 10.0, session)
        assert "cannot be approximated" in texts.forecast_text(0, 0, 10.0, session)
    finally:
        session.close()


def test_the_status_is_how_much_is_done():
    job = Job("layer by layer", lambda progress, cancelled: None)
    assert "waiting for the jobs before it" in texts.status_text(job, None)
    job.status, job.fraction = "running", 0.25
    text = texts.status_text(job, LayerwiseProgress(2, 8, "conv3"))
    assert ">2 of 8 · conv3 · 25%<" in text
    job.cancel()
    assert "stopping" in texts.status_text(job, None)
