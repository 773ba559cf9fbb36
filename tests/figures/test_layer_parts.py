"""The figures of one layer, part by part."""

import numpy as np
import pytest

from gdws_explorer.figures import layer_parts
from gdws_explorer.network.plans.choices import GDWS, SVD, Tucker2


@pytest.fixture(scope="module")
def spectrum(network):
    return network.gdws("conv2")


def spectrum_info(spectrum, kernels):
    return layer_parts.spectrum_info(spectrum, spectrum.mego(kernels).numpy())


@pytest.mark.parametrize("kernels", [1, 17, 100])
def test_as_many_triplets_are_kept_as_there_are_depthwise_kernels(spectrum, kernels):
    data = spectrum_info(spectrum, kernels)
    assert data.kept.sum() == kernels
    assert (np.diff(data.kept.astype(int), axis=0) <= 0).all(), "the strongest of every channel"
    assert data.kernels_kept.sum() == min(kernels, layer_parts.TILES)


def test_strengths_are_energies_relative_to_the_largest(spectrum):
    strength = spectrum_info(spectrum, 20).strength
    assert strength.max() == 0
    assert strength.min() >= -4
    seen = strength > -4
    ratio = (spectrum.energy / spectrum.energy.max()).T[seen]
    assert 10 ** strength[seen] == pytest.approx(ratio)


def test_kernels_have_unit_norm_and_a_positive_largest_weight(spectrum):
    kernels = spectrum_info(spectrum, 20).kernels.reshape(layer_parts.TILES, -1)
    assert np.linalg.norm(kernels, axis=1) == pytest.approx(1)
    largest = np.take_along_axis(kernels, np.abs(kernels).argmax(1)[:, None], axis=1)
    assert (largest > 0).all()


def test_the_mosaic_holds_every_kernel_and_nothing_between(spectrum):
    data = spectrum_info(spectrum, 20)
    canvas = layer_parts.mosaic(data)
    assert canvas.shape == (4 * 4 - 1, 10 * 4 - 1), "40 kernels of 3 × 3, ten in a row"
    assert canvas[:3, :3] == pytest.approx(data.kernels[0], abs=0.006)
    assert canvas[4:7, 4:7] == pytest.approx(data.kernels[11], abs=0.006)
    assert (canvas[3] == 1.5).all()
    assert (canvas[:, 3] == 1.5).all()


def test_grey_areas_cover_what_is_dropped(spectrum):
    triplets, kernels = layer_parts.spectrum_shapes(spectrum_info(spectrum, 20))
    assert (triplets["xref"], kernels["xref"]) == ("x", "x2")
    assert kernels["path"].count("M") == layer_parts.TILES - 20
    everything = spectrum_info(spectrum, spectrum.energy.size)
    assert layer_parts.spectrum_shapes(everything)[1]["path"] == "M0,0 Z", "an empty path"


@pytest.mark.parametrize(("r_out", "r_in"), [(1, 1), (5, 9), (64, 32)])
def test_the_grid_has_the_errors_and_costs_of_its_rank_pairs(network, r_out, r_in):
    layer, spectrum = network.layer("conv3"), network.tucker("conv3")
    data = layer_parts.grid_info(layer, spectrum, r_out, r_in)
    i, j = list(data.rows).index(r_out), list(data.columns).index(r_in)
    plan = network.plan({"conv3": Tucker2(r_out, r_in)})
    found = network.summary(plan).layers["conv3"]
    assert data.macs[i, j] == pytest.approx(found.macs / found.dense_macs, abs=1e-4)
    relative = max(found.error / found.energy, 1e-6)
    assert 10 ** data.error[i, j] == pytest.approx(relative, rel=0.003)
    (ring,) = layer_parts.grid_shapes(data)
    assert (ring["xanchor"], ring["yanchor"]) == (r_in, r_out)


@pytest.mark.parametrize("rank", [1, 7, 10])
def test_the_curve_has_the_error_and_cost_of_every_rank(network, rank):
    layer, spectrum = network.layer("fc"), network.spectrum("fc", "svd")
    data = layer_parts.curve_info(layer, "svd", spectrum, rank)
    found = network.summary(network.plan({"fc": SVD(rank)})).layers["fc"]
    assert data.error[rank - 1] == pytest.approx(found.error / found.energy, abs=1e-5)
    assert data.macs[rank - 1] == pytest.approx(found.macs / found.dense_macs, abs=1e-4)
    assert (np.diff(data.error) <= 0).all()
    assert {ring["xanchor"] for ring in layer_parts.curve_shapes(data)} == {rank}


def test_every_part_is_a_figure_of_its_info_alone(network, spectrum):
    counts = network.counts("conv2", GDWS(20)).numpy()
    layer = network.layer("conv2")
    figures = [
        layer_parts.spectrum_figure(layer_parts.spectrum_info(spectrum, counts)),
        layer_parts.grid_figure(layer_parts.grid_info(layer, network.tucker("conv2"), 4, 5)),
        layer_parts.curve_figure(
            layer_parts.curve_info(layer, "svd", network.spectrum("conv2", "svd"), 3)
        ),
    ]
    assert [len(figure.data) for figure in figures] == [2, 2, 2]
    assert [len(figure.layout.shapes) for figure in figures] == [2, 1, 2]
