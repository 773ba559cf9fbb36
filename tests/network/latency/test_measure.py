"""The runtimes of `measure_latency`, and the tables that it keeps on disk."""

import pytest
import torch
from torch import nn

import gdws_explorer as gx
from gdws_explorer.errors import DataError
from gdws_explorer.network.latency import measure
from gdws_explorer.network.latency.latency import LatencyTable, LayerTimes, Spread


@pytest.fixture
def net():
    model = nn.Sequential(nn.Conv2d(3, 6, 3, padding=1), nn.ReLU(), nn.Conv2d(6, 8, 3, padding=1))
    return gx.Network(model, torch.rand(1, 3, 8, 8))


@pytest.fixture
def calls(monkeypatch):
    """The settings of every measurement; none is really made."""
    seen = []

    def fake(runtime):
        def measured(_model, example, _layers, fingerprint, *, batch, threads, **_):
            seen.append((runtime, batch, threads, str(example.device)))
            layers = {"0": LayerTimes(1.0, {})}
            return LatencyTable(
                batch, threads, "cpu", {}, fingerprint, 2.0, Spread(1.9, 2.1, 9), layers, runtime
            )

        return measured

    monkeypatch.setattr(measure, "measure_layers", fake("torch"))
    monkeypatch.setattr(measure, "measure_with_onnxruntime", fake("onnxruntime"))
    return seen


def test_the_runtime_is_chosen_and_the_network_uses_the_table(net, calls):
    assert net.measure_latency().runtime == "torch"
    assert net.measure_latency(runtime="onnxruntime", batch=4).runtime == "onnxruntime"
    assert net.latencies.batch == 4
    assert calls == [("torch", 1, 1, "cpu"), ("onnxruntime", 4, 1, "cpu")]
    net.measure_latency(threads=None)
    assert calls[-1][2] == torch.get_num_threads()


def test_a_table_is_read_again_for_equal_settings_only(net, calls, tmp_path):
    first = net.measure_latency(cache=tmp_path)
    assert net.measure_latency(cache=tmp_path) == first
    assert len(calls) == 1
    for settings in ({"batch": 2}, {"threads": 2}, {"runtime": "onnxruntime"}):
        net.measure_latency(cache=tmp_path, **settings)
    assert len(calls) == 4
    other = gx.Network(net.model[:2], net.example)
    other.measure_latency(cache=tmp_path)
    assert len(calls) == 5


def test_again_measures_and_replaces_the_table(net, calls, tmp_path):
    net.measure_latency(cache=tmp_path)
    net.measure_latency(cache=tmp_path, again=True)
    assert len(calls) == 2
    assert len(list(tmp_path.iterdir())) == 1


def test_another_version_or_machine_measures_again(net, calls, tmp_path, monkeypatch):
    net.measure_latency(cache=tmp_path)
    monkeypatch.setattr(measure, "machine_of", lambda *_: {"processor": "another"})
    net.measure_latency(cache=tmp_path)
    assert len(calls) == 2


def test_a_damaged_file_is_measured_again(net, calls, tmp_path):
    net.measure_latency(cache=tmp_path)
    (file,) = tmp_path.iterdir()
    file.write_text("{")
    net.measure_latency(cache=tmp_path)
    assert len(calls) == 2
    assert LatencyTable.load(file).network == 2.0


def test_settings_that_cannot_be_used(net, calls):
    for settings, words in (
        ({"runtime": "tensorrt"}, "unknown runtime 'tensorrt'; expected one of torch, onnxruntime"),
        ({"batch": 0}, "batch is 0"),
        ({"threads": 0}, "threads is 0"),
        ({"device": "nowhere"}, "device 'nowhere' cannot be used here"),
        ({"device": "cuda", "runtime": "onnxruntime"}, "computes on the CPU only"),
    ):
        with pytest.raises(DataError, match=words):
            net.measure_latency(**settings)
    assert not calls


def test_a_noisy_machine_is_noticed():
    def table(low, high, share, threads=1):
        return LatencyTable(
            1, threads, "cpu", {}, "f", 10.0, Spread(low, high, 9), {}, "torch", share
        )

    assert not table(9.8, 10.3, 0.99).noisy
    assert table(9.0, 10.5, 0.99).noisy
    assert table(9.8, 10.3, 0.7).noisy
    assert not table(9.8, 10.3, 1.8, threads=2).noisy
