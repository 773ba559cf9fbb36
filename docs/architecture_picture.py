"""Draws docs/architecture.svg: the rooms of the package and what each imports.

    python docs/architecture_picture.py            # writes the picture, prints the counts
    python docs/architecture_picture.py --counts FOLDER   # counts of another checkout, no picture

An arrow points from a room to one that it imports. Arrows that follow from others (a imports b,
b imports c, so a may import c) are left out of the picture and counted.
"""

from __future__ import annotations

import sys
from html import escape
from pathlib import Path

DOCS = Path(__file__).resolve().parent
sys.path.insert(0, str(DOCS.parent / "tests" / "packaging"))
from source import circles_of, imports_of, modules_of

# The rooms from the bottom to the top: (left column), middle, (right column); name and contents.
ROWS: list[tuple[tuple[str, str] | None, tuple[str, str], tuple[str, str] | None]] = [
    (None, ("errors", "one class for each kind of error"), None),
    (None, ("typing", "Progress, Cancel"), None),
    (None, ("utils", "files, checks, threads, formats"), None),
    (None, ("factorize", "a weight → its approximations"), ("nn", "factorised layers")),
    (None, ("network", "plans, calibration, latency, budget"), None),
    (None, ("robust", "attacks, evaluation, transfer"), None),
    (None, ("training", "recipes, CSTAR-style"), None),
    (None, ("study", "records, storage, sweeps, searches"), None),
    (
        ("bundle", "folder, weights, ONNX"),
        ("figures", "info → figure"),
        ("bench", "networks, images"),
    ),
    (None, ("session", "the explorer without a browser"), None),
    (None, ("widgets", "views in the notebook"), ("lessons", "checked answers")),
    (None, ("api", "explore, sweep, search"), None),
    (None, ("cli", "the command line"), None),
]
WIDTH, ROW, BOX, WIDE = 860, 68, 42, 250
STYLE = """
  text { font: 13px system-ui, sans-serif; fill: #1b1b1b } .small { font-size: 11px; fill: #444 }
  rect { fill: #eef4fa; stroke: #0072b2; rx: 6 }
  .arrow { stroke: #888; stroke-width: 1.2; fill: none }
  marker path { fill: #888 }
  @media (prefers-color-scheme: dark) {
    text { fill: #eee } .small { fill: #bbb } rect { fill: #17242f; stroke: #56b4e9 } }
"""


def room_of(module: str) -> str:
    """The room that a module is in; the package's own `__init__` belongs to none."""
    return module.partition(".")[0]


def arrows_of(package: Path) -> set[tuple[str, str]]:
    """The pairs of rooms of which the first imports the second."""
    pairs = {(room_of(each.source), room_of(each.target)) for each in imports_of(package)}
    return {(a, b) for a, b in pairs if a != b and a and b}


def reduced(arrows: set[tuple[str, str]]) -> set[tuple[str, str]]:
    """The arrows that do not follow from others; the rooms have no circle."""
    below = {a: {b for x, b in arrows if x == a} for a, _ in arrows}

    def reach(room: str) -> set[str]:
        direct = below.get(room, set())
        return direct.union(*map(reach, direct)) if direct else set()

    return {(a, b) for a, b in arrows if not any(b in reach(c) for c in below[a] - {b})}


def counts(package: Path) -> str:
    """The size of the import graph, in one line."""
    imports, circles = imports_of(package), circles_of(imports_of(package))
    pairs = {(each.source, each.target) for each in imports}
    rooms = {room_of(name) for name in modules_of(package)} - {""}
    return (
        f"{len(modules_of(package))} modules, {len(pairs)} imports between modules, {len(rooms)} "
        f"boxes at the top, {len(arrows_of(package))} arrows between them, {len(circles)} circles"
    )


def picture(arrows: set[tuple[str, str]]) -> str:
    """The rooms in rows and the arrows that do not follow from others, as SVG."""
    height = ROW * len(ROWS)
    place: dict[str, tuple[float, float]] = {}  # the upper left corner of every box
    boxes = []
    for row, rooms in enumerate(reversed(ROWS)):
        for column, room in enumerate(rooms):
            if room is None:
                continue
            name, words = room
            x, y = 10 + column * (WIDTH - 20 - WIDE) / 2, 10 + row * ROW
            place[name] = (x, y)
            boxes.append(
                f'<rect x="{x:.0f}" y="{y}" width="{WIDE}" height="{BOX}"/>'
                f'<text x="{x + WIDE / 2:.0f}" y="{y + 18}" text-anchor="middle">{name}</text>'
                f'<text class="small" x="{x + WIDE / 2:.0f}" y="{y + 34}" '
                f'text-anchor="middle">{escape(words)}</text>'
            )
    lines = []
    for a, b in sorted(arrows):
        (xa, ya), (xb, yb) = place[a], place[b]
        if xa == xb and yb - ya > ROW + 1:  # around the boxes between
            lines.append(
                f'<path d="M{xa + WIDE} {ya + BOX / 2} q60 {(yb - ya) / 2} 3 {yb - ya}" '
                'class="arrow" marker-end="url(#tip)"/>'
            )
            continue
        start = (xa + WIDE / 2, ya + BOX)
        if xa == xb:
            end = (xb + WIDE / 2, yb - 2)
        elif yb - ya > ROW + 1 or xb == place["api"][0]:
            end = (xb - 2 if xa < xb else xb + WIDE + 2, yb + BOX / 2)
        else:
            end = (xb + WIDE / 2, yb - 2)
        lines.append(
            f'<path d="M{start[0]:.0f} {start[1]:.0f} L{end[0]:.0f} {end[1]:.0f}" class="arrow" '
            'marker-end="url(#tip)"/>'
        )
    return (
        f'<svg xmlns="http://www.w3.org/2000/svg" viewBox="0 0 {WIDTH} {height}" role="img">\n'
        "<title>The rooms of gdws_explorer and their imports</title>\n"
        f"<style>{STYLE}</style>\n"
        '<marker id="tip" viewBox="0 0 8 8" refX="7" refY="4" markerWidth="7" markerHeight="7" '
        'orient="auto"><path d="M0 0 8 4 0 8Z"/></marker>\n'
        + "\n".join([*lines, *boxes])
        + "\n</svg>\n"
    )


def main() -> None:
    """Write the picture, or print the counts of another checkout."""
    if sys.argv[1:2] == ["--counts"]:
        print(counts(Path(sys.argv[2]) / "gdws_explorer"))
        return
    package = DOCS.parent / "gdws_explorer"
    arrows = arrows_of(package)
    shown = reduced(arrows)
    (DOCS / "architecture.svg").write_text(picture(shown))
    print(f"{counts(package)}; {len(shown)} arrows drawn")


if __name__ == "__main__":
    main()
