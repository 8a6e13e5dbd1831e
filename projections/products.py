"""Products as the company lists them."""

from __future__ import annotations

from datetime import datetime

from domain.numbers import Quantity
from domain.plans import Empty, ProductListed
from projections.documents import Change
from projections.rows import Row, Rows, table


@table("products", key=("sku",), home="shared", indexes=(("category",),))
class Product(Row):
    """One SKU as it was last listed."""

    sku: str
    name: str = ""
    category: str = ""
    base_uom: str = ""
    gtin: str = ""
    volume: Quantity | None = None  # litres of one base unit
    shelf_life_days: int | None = None
    must_sell: bool = False
    launched: datetime | None = None
    retired: datetime | None = None
    empties: tuple[Empty, ...] = ()


def list_product(change: Change, rows: Rows) -> None:
    """Put the product as its last listing has it."""
    found = change.after.one(ProductListed) if change.after is not None else None
    if found is None:
        rows.put(Product(change.document.id))
        return
    data = found.data
    rows.put(
        Product(
            data.sku,
            name=data.name,
            category=data.category or "",
            base_uom=data.base_uom,
            gtin=data.gtin or "",
            volume=data.volume,
            shelf_life_days=data.shelf_life_days,
            must_sell=data.must_sell or False,
            launched=data.launched,
            retired=data.retired,
            empties=data.empties,
        )
    )
