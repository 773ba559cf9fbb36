"""Sentences that the explorer shows, as HTML or plain text."""

from __future__ import annotations

from html import escape

from gdws_explorer.session.session import Session
from gdws_explorer.session.snapshot import Snapshot
from gdws_explorer.utils.format import millions, some_of


def head(session: Session) -> str:
    """Returns the title line, with the size of the network."""
    network = session.network
    without = f" without {some_of(network.uncounted)}" if network.uncounted else ""
    return (
        f'<span class="gx-head">{escape(session.title)}</span> '
        f'<span class="gx-unit">{millions(network.params)} parameters · '
        f"{millions(network.macs)} MACs per image{escape(without)} · {len(network.names)} "
        "layers</span>"
    )


def setting(session: Session) -> str:
    """Returns the present setting of measurements, as plain text."""
    m = session.measurements
    attack = "no attack" if m.attack is None else m.attack.label
    return f"{attack} · n {m.n} · seed {m.seed}"


def records(session: Session) -> str:
    """Returns a note on the records that the front shows and on those that it does not."""
    measured, picking = session.measurements, session.record_filter
    count, others = len(picking.records), measured.others()
    text = ""
    if count:
        text = (
            f"{count} plans measured with {measured.shown.label}; bars are 95 % intervals (Wilson)."
        )
        grey = count - len(picking.filters.kept(picking.records))
        if grey:
            text += f" {grey} are greyed out: not {picking.filters}."
    if measured.data is None:
        text += " There are no images here to measure on; open with data=(images, labels)."
    elif not count:
        text = f"No plan is measured yet with {setting(session)}: press Evaluate."
    if others:
        text += f" {others} measured in other settings are not shown."
    notes = {record.note for record in picking.records if record.note is not None}
    text += "".join(f" Note: {note}." for note in sorted(notes))
    if count:
        text += " Click a point to bring its plan back; ← and → walk the front."
    return f'<span class="gx-unit">{escape(text)}</span>'


def estimate(session: Session, now: Snapshot) -> str:
    """Returns the live estimate with its interval, or the reason why there is none."""
    if now.record is not None:
        text = "▽ This plan is measured: no estimate is needed."
    elif now.estimate is not None:
        found = now.estimate
        low, high = found.robust_interval or (0.0, 1.0)
        clean = found.clean_interval
        text = (
            f"▽ {found.label}: robust at most {found.robust:.1%} (95 %: {low:.1%} to {high:.1%}), "
            f"on images that {found.attack.label} made for the dense network; ◇ clean "
            f"{found.clean:.1%} ({clean[0]:.1%} to {clean[1]:.1%}), measured. n {found.n}, seed "
            f"{found.seed}."
        )
    elif session.estimates.error is not None:
        text = f"▽ no estimate: {session.estimates.error}"
    elif session.measurements.attack is None:
        text = "▽ no estimate without an attack; choose one."
    else:
        text = "▽ estimating …"
    return f'<span class="gx-unit">{escape(text)}</span>'


def job(session: Session) -> str:
    """Returns the progress of the running measurement, as plain text; empty without one."""
    running, waiting = session.jobs.running, session.jobs.waiting
    if running is None:
        return ""
    queue = f" · {waiting} waiting" if waiting else ""
    what = f"{running.about} " if isinstance(running.about, str) else ""
    if running.cancelling:
        return f"stopping …{queue}"
    left = running.seconds_left
    time = "" if left is None else f" · {max(0.0, left):.0f} s left"
    return f"{what}{running.fraction:.0%}{time}{queue}"


def message(session: Session) -> str:
    """Returns the last message; words mark an error, so that colour alone does not."""
    if not session.message:
        return ""
    text = escape(session.message)
    if session.failed:
        return f'<span class="gx-error" role="alert">Cannot do that:</span> {text}'
    return f'<span role="status">{text}</span>'
