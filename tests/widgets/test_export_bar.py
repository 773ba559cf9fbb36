"""What the export bar writes and shows."""

import pytest

import gdws_explorer as gx
from gdws_explorer.session.session import Session
from gdws_explorer.study.record_files import read_csv
from gdws_explorer.widgets.export_bar import ExportBar


@pytest.fixture
def session(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    made = Session("digits")
    yield made
    made.close()


@pytest.mark.slow
def test_the_network_is_exported_to_the_named_folder(session, tmp_path, bench):
    session.controls.move_budget("macs", 0.4)
    bar = ExportBar(session)
    bar.folder.value = " small "
    bar.export_button.click()
    assert "exported to small" in session.message
    assert not bar.export_button.disabled
    restored = gx.restore(tmp_path / "small", bench.model)
    assert sum(p.numel() for p in restored.parameters()) < 0.8 * session.network.params


def test_records_are_written_as_csv(session, tmp_path):
    bar = ExportBar(session)
    bar.csv_button.click()
    assert session.message == f"wrote {tmp_path / 'records.csv'}."
    assert read_csv(tmp_path / "records.csv") == session.measurements.records()


def test_the_state_string_opens_the_same_plan(session):
    session.controls.move_budget("macs", 0.4)
    bar = ExportBar(session)
    bar.state_button.click()
    again = gx.explore(state=bar.state.value)
    assert again.plan == session.plan
    again.close()
