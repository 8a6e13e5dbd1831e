"""What an Accept header asks for."""

from __future__ import annotations

JSON, CSV, HTML, NDJSON = "application/json", "text/csv", "text/html", "application/x-ndjson"
PROBLEM = "application/problem+json"


def quality(accept: str | None, media_type: str) -> float:
    """How much a media type is wanted; the most specific range that covers it says."""
    found, depth = 0.0, -1
    for part in (accept or "*/*").split(","):
        wanted, *details = [piece.strip().lower() for piece in part.split(";")]
        specific = {media_type: 2, media_type.split("/")[0] + "/*": 1, "*/*": 0}.get(wanted, -1)
        if specific > depth:
            depth, found = specific, 1.0
            for detail in details:
                if detail.startswith("q="):
                    found = _number(detail[2:])
    return found


def prefers_html(accept: str | None) -> bool:
    """Whether a browser asks: HTML is wanted, and more than JSON and problems are."""
    return quality(accept, HTML) > max(quality(accept, JSON), quality(accept, PROBLEM))


def _number(said: str) -> float:
    try:
        return min(1.0, max(0.0, float(said)))
    except ValueError:
        return 0.0
