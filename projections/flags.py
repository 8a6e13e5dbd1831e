"""What looks wrong but happened: flags are raised and cleared, never a reason to refuse a fact."""

from __future__ import annotations

from datetime import datetime

from domain.envelope import Payload, Recorded
from projections.rows import Row, Rows


class Flag(Row):
    """One suspicion about one subject: since when it is known, and since when it is settled (log clock)."""

    dealer: str
    kind: str
    subject: str
    since: datetime | None = None
    cleared: datetime | None = None
    sequence: int = 0


def mark(
    rows: Rows, flag: type[Flag], event: Recorded[Payload], key: tuple[str, str, str], wrong: bool
) -> None:
    """Raise the flag (dealer, kind, subject) or clear it; what is already so stays as it is."""
    held = rows.read(flag, *key)
    raised = held is not None and held.since is not None and held.cleared is None
    if wrong and not raised:
        row = rows.edit(flag, *key)
        row.since, row.cleared, row.sequence = event.recorded, None, event.sequence
    elif raised and not wrong:
        rows.edit(flag, *key).cleared = event.recorded
