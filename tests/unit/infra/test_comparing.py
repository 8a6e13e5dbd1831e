"""Two tables that should say the same, where one was altered beyond what its columns hold."""

from __future__ import annotations

from infra.comparing import Columns, Difference, compare_table


def test_a_key_of_another_kind_is_a_difference_and_no_failure() -> None:
    """SQLite keeps bytes where a text belongs, and sorts them behind all texts."""
    columns, found = Columns(("sku", "on_hand"), 1, (True, False)), list[Difference]()

    compared = compare_table(
        "t", iter([("TEA", 2), (b"COLA", 1)]), iter([("COLA", 1), ("TEA", 2)]), columns, found
    )

    assert (compared.changed, compared.missing, compared.extra) == (0, 1, 1)
    assert [one.key for one in found] == [("COLA",), (b"COLA",)]
