"""The explorer as a page of its own, without JupyterLab: Voila."""

import sys

import pytest
from driving import TWO_CELLS, Explored, Kernel, watched, write_notebook
from serving import free_port, served

# Voila's own page asks for two style sheets of icons there; the explorer needs neither.
ICONS = "https://cdn.jsdelivr.net/npm/@fortawesome/"

pytestmark = [pytest.mark.browser, pytest.mark.slow]


def test_voila_shows_the_explorer_and_a_fader_moves(tmp_path, browser, screenshot):
    name = write_notebook(tmp_path / "two.ipynb", TWO_CELLS)
    url = f"http://127.0.0.1:{free_port()}"
    home = tmp_path / "home"
    home.mkdir()
    command = [
        sys.executable, "-m", "voila", name, "--no-browser", f"--port={url.rpartition(':')[2]}",
        f"--Voila.connection_dir_root={home}",
    ]  # fmt: skip
    with (
        served(command, tmp_path, home, home / "voila.log", f"{url}/static/nothing"),
        watched(browser, 1400, 1300, known=ICONS) as page,
    ):
        page.goto(url)
        page.locator(".gx-explorer .gx-strip").first.wait_for()
        (file,) = home.glob("*/kernel-*.json")
        explorer = Explored(page, Kernel(file))
        explorer.ready()
        before, _ = explorer.agrees()
        assert sum(before["figures"]["points"]) >= 60
        explorer.drag(explorer.master, 0.45)
        explorer.strip("conv4").locator(".gx-name").click()
        explorer.strip("conv4").locator("select").select_option("tucker2")
        shown, truth = explorer.agrees()
        assert truth["steps"][0] >= 1
        assert shown["figures"]["cursorAt"] != before["figures"]["cursorAt"]
        screenshot(page, "voila")
        assert page.errors == []
