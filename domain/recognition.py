"""When goods count as sold: which figures of a day are the sale (`events.md`, "When is it a sale?")."""

from __future__ import annotations

from typing import Literal, get_args

from msgspec import Struct

from domain.errors import QudaoError

Stage = Literal["ordered", "dispatched", "accepted", "invoiced"]
STAGES: tuple[Stage, ...] = get_args(Stage)
NET_OF_RETURNS = "net of returns"
_MOVES_GOODS = ("dispatched", "accepted")


class RecognitionError(QudaoError):
    """The text names no way to recognise a sale."""

    code = "recognition"


class Recognition(Struct, frozen=True):
    """A way to recognise a sale: the stage that counts, and whether returns are taken off it."""

    stage: Stage
    net_of_returns: bool = False

    def __str__(self) -> str:
        if self.net_of_returns:
            return f"{self.stage}, {NET_OF_RETURNS}"
        return f"{self.stage}, gross" if self.stage in _MOVES_GOODS else self.stage

    def quantity(self) -> tuple[tuple[str, int], ...]:
        """The figures whose sum, each with its sign, is the quantity sold."""
        return self._figures("")

    def amount(self) -> tuple[tuple[str, int], ...]:
        """The figures whose sum, each with its sign, is the amount sold."""
        return self._figures("_net")

    def _figures(self, suffix: str) -> tuple[tuple[str, int], ...]:
        found = ((f"{self.stage}{suffix}", 1),)
        return (*found, (f"returned{suffix}", -1)) if self.net_of_returns else found


ORDERED = Recognition("ordered")
DISPATCHED = Recognition("dispatched", net_of_returns=True)


def recognition(name: str) -> Recognition:
    """The way that a policy or target names: a stage, `net of returns` or not. Raises RecognitionError.

    What left or was taken is counted net of returns unless its stage stands alone with `gross` behind it; what was
    ordered or invoiced is not, because a return changes neither the order nor, without a credit note, the invoice.
    """
    stage, _, rest = name.replace("-", " ").replace("_", " ").replace(",", " ").strip().partition(" ")
    rest = " ".join(rest.split())
    for known in STAGES:
        if stage == known and rest in ("", "net", NET_OF_RETURNS, "gross"):
            return Recognition(known, known in _MOVES_GOODS if not rest else rest != "gross")
    raise RecognitionError(
        f"{name!r} is no way to recognise a sale: say {', '.join(STAGES)}, where wanted followed by "
        f"`{NET_OF_RETURNS}` or `gross`"
    )


def default(*, delivers: bool) -> Recognition:
    """Dispatched net of returns; ordered where nothing but orders is ever published."""
    return DISPATCHED if delivers else ORDERED
