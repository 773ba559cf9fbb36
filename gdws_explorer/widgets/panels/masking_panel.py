"""Signs of masked gradients, looked for in the plan on the faders and said in words."""

from __future__ import annotations

from collections.abc import Callable
from html import escape
from typing import ClassVar

import ipywidgets as w

from gdws_explorer.errors import DataError
from gdws_explorer.network.plans.plan import Plan
from gdws_explorer.robust.gradient_masking import MaskingReport, check_masking
from gdws_explorer.session.session import Session
from gdws_explorer.widgets.form import button, labelled, on, row, told
from gdws_explorer.widgets.job_controls import JobControls

CHECKING = "looking for masked gradients"
IMAGES = 100
INTRO = (
    "A network can look robust only because its gradients mislead the attack. Signs of that are "
    "looked for on the same images: no gradient, one step against many, random points, a search "
    "without gradients, more steps, a larger ball, and an ε at which nothing can stand. To find "
    "none is what one hopes for, and no proof."
)


class MaskingPanel:
    """A button, a job, and a table of signs."""

    title: ClassVar[str] = "Can I trust it?"
    tip: ClassVar[str] = "Look for signs that the attack is misled and robustness only seems so"

    def __init__(self, session: Session) -> None:
        self._session = session
        self._of: tuple[Plan, MaskingReport] | None = None
        self._n = labelled(
            w.BoundedIntText, "n", 14, 80, value=IMAGES, min=10, max=100_000,
            tooltip="How many images, the same for every attack",
        )  # fmt: skip
        self._check = button("Check this plan", "search", "Run several attacks on it", 140)
        self._check.button_style = "primary"
        self._said = w.HTML()
        self._working = JobControls(session, self._check, self._said, "Stop looking")
        on(session, self._check, self._start)
        self.box = w.VBox(
            [
                w.HTML(f'<span class="gx-unit">{escape(INTRO)}</span>'),
                row(self._n, self._check, self._working.cancel, self._working.bar), self._said,
            ]
        )  # fmt: skip
        self.refresh("job")

    def refresh(self, what: str) -> None:
        """Follow the job, and say when the plan is no longer the one that was checked."""
        if what == "job":
            self._working.refresh()
        if what == "plan" and self._of is not None:
            self._said.value = _html(*self._of, here=self._of[0] == self._session.plan)

    def _start(self) -> None:
        with told(self._said):
            self._submit()

    def _submit(self) -> None:
        session, plan = self._session, self._session.plan
        network, (attack, _, seed) = session.network, session.measurements.how
        data = session.measurements.data
        if data is None:
            raise DataError("there are no images to attack; open with data=(images, labels).")
        if attack is None:
            raise DataError("there is no attack to check; choose one beside Evaluate.")
        n = min(self._n.value, len(data[1]))
        self._of, self._said.value = None, ""

        def look(progress: Callable[[float], None], cancelled: Callable[[], bool]) -> None:
            built = network.build(plan, cancel=cancelled)
            found = check_masking(
                built, data, attack, n=n, seed=seed, progress=progress, cancel=cancelled
            )
            self._of = plan, found
            self._said.value = _html(plan, found, here=plan == session.plan)

        self._working.begin(CHECKING, look)


def _html(plan: Plan, found: MaskingReport, *, here: bool) -> str:
    """The signs as a table, those that were found first."""
    rows = "".join(
        f'<tr><td style="white-space:nowrap">{_mark(check.warns)}</td>'
        f"<td><b>{escape(check.name)}</b></td>"
        f"<td>{escape(check.message)} {escape(check.advice)}<br>"
        f'<span class="gx-unit">right on: {escape("; ".join(map(str, check.outcomes)))}'
        f"{'' if check.p is None else f'; p {check.p:.2g}'}</span></td></tr>"
        for check in sorted(found.checks, key=lambda check: not check.warns)
    )
    count = len(found.warnings)
    head = (
        f"<b>{count} of {len(found.checks)} signs found: the robust accuracy cannot be trusted as "
        "it is.</b>"
        if count
        else f"<b>None of {len(found.checks)} signs found.</b>"
    )
    of = f"Checked: {found.attack.label}, n {found.n}, seed {found.seed}, plan {plan.hash[:8]}."
    note = "" if found.note is None else f" {found.note}."
    stale = "" if here else " The plan on the faders is another one now."
    return (
        f"{head}<table>{rows}</table>"
        f'<span class="gx-unit">{escape(of + note)}<b>{escape(stale)}</b></span>'
    )


def _mark(warns: bool) -> str:
    return '<span class="gx-error">⚠ found</span>' if warns else "✓ not seen"
