"""Small channels drawn from a seed: every kind of fact that folds, few names, so that everything crosses."""

from __future__ import annotations

from collections.abc import Callable
from datetime import UTC, datetime, timedelta
from random import Random
from typing import Any

from domain.catalogue import TYPES
from tests.lab.events import HOUR, NOON, body, voided

DEALERS, STORES = ("D1", "D2", "D3"), ("S1", "S2", "WH")
PLACES = (*DEALERS, *STORES)
REPS, TERRITORIES, PROMOTIONS, TARGETS = (
    ("R1", "R2"),
    ("T1", "T2", "T3"),
    ("P1", "P2"),
    ("G1", "G2", "G3", "G4"),
)
DAY = timedelta(days=1)
Fact = tuple[str, dict[str, Any]]


class Channel:
    """Draws what is said of one channel."""

    def __init__(self, seed: int) -> None:
        self.chance = Random(seed)
        ways: dict[Callable[[], Fact], int] = {
            **{self.order: 5, self.amended: 1, self.cancelled: 1, self.dispatched: 4, self.received: 3},
            **{self.moved: 5, self.counted: 3, self.returned: 1, self.exchanged: 1, self.sold: 2},
            **{self.opened: 2, self.target: 5, self.located: 3, self.registered: 3, self.stopped: 1},
            **{self.merged: 2, self.territory: 1, self.assigned: 3, self.rep: 2, self.unit: 1},
            **{self.outlet: 1, self.invoice: 2, self.paid: 1, self.bounced: 1, self.accused: 1},
            **{self.given: 1, self.rule: 1, self.product: 2, self.promotion: 1, self.contract: 1},
        }
        self._ways = [way for way, weight in ways.items() for _ in range(weight)]

    def events(self, count: int) -> list[bytes]:
        """So many events as they come: restated, withdrawn by right and by wrong, some before what they name."""
        chance, said = self.chance, list[bytes]()
        known: list[tuple[str, str, str | None]] = []  # id, family, dealer
        for number in range(count):
            if known and chance.random() < 0.15:
                id, family, dealer = chance.choice(known)
                id = f"e{chance.randrange(count)}" if chance.random() < 0.15 else id
                dealer = chance.choice((*DEALERS, None)) if chance.random() < 0.2 else dealer
                said.append(voided(id, dealer=dealer, family=family, event_id=f"e{number}", time=self.time()))
            else:
                type, data = chance.choice(self._ways)()
                family, dealer = TYPES[type].families[0], data.get("dealer")
                source = chance.choice(("erp", "erp", "erp", "wms"))
                said.append(body(type, id=f"e{number}", source=source, time=self.time(), **data))
            known.append((f"e{number}", family, dealer))
        for _ in range(count // 8):
            said.insert(chance.randrange(len(said)), said.pop(chance.randrange(len(said))))
        return said

    def time(self) -> datetime:
        return NOON + self.chance.randint(-24 * 60, 24 * 60) * HOUR

    def dealer(self) -> str:
        return self.chance.choice(DEALERS)

    def place(self) -> str:
        return self.chance.choice(PLACES)

    def one(self, *names: str) -> str:
        return self.chance.choice(names)

    def quantity(self) -> str:
        return self.one("0", "1", "2", "5", "10")

    def some(self, drawn: Any, share: float = 0.5) -> Any:
        """That, or nothing."""
        return drawn if self.chance.random() < share else None

    def lines(self, field: str = "quantity", **more: Any) -> list[dict[str, Any]]:
        return [
            {"sku": self.one("COLA", "TEA"), field: self.quantity(), **more}
            for _ in range(self.chance.randint(1, 2))
        ]

    def span(self) -> dict[str, datetime]:
        begin = NOON + self.chance.choice((-60, -31, -10, 0, 10)) * DAY
        return {"from_": begin, "to": begin + self.chance.choice((5, 30, 90)) * DAY}

    # trade

    def order(self) -> Fact:
        lines = [
            line | {"line": str(n), "unit_price": "2", "net": "4"} for n, line in enumerate(self.lines())
        ]
        if self.chance.random() < 0.3:
            lines[0]["discounts"] = [{"kind": "p", "amount": "1", "promotion": self.one(*PROMOTIONS)}]
        window = {"from": NOON.isoformat(), "to": (NOON + 3 * DAY).isoformat()}
        return "order.placed.v1", {
            **{"order": self.one("O1", "O2"), "dealer": self.dealer(), "currency": "CNY", "lines": lines},
            **{"ship_to": self.some({"id": self.place()}), "outlet": self.some(self.one("U1", "D2"))},
            **{"seller": self.some(self.dealer()), "rep": self.some(self.one(*REPS), 0.3)},
            **{"territory": self.some(self.one(*TERRITORIES[:2]), 0.3), "requested": self.some(window)},
        }

    def amended(self) -> Fact:
        lines = [line | {"line": "0", "unit_price": "2", "net": "6"} for line in self.lines()[:1]]
        about = {"order": self.one("O1", "O2"), "dealer": self.dealer()}
        return "order.amended.v1", {**about, "initiator": "dealer", "lines": lines}

    def cancelled(self) -> Fact:
        return "order.cancelled.v1", {"order": self.one("O1", "O2"), "dealer": self.dealer()}

    def dispatched(self) -> Fact:
        return "delivery.dispatched.v1", {
            **{"delivery": self.one("L1", "L2"), "dealer": self.dealer(), "lines": self.lines()},
            **{"order": self.some(self.one("O1", "O2"), 0.7), "from_": self.some(self.place())},
            "to": self.some(self.place(), 0.4),
        }

    def received(self) -> Fact:
        about = {"delivery": self.one("L1", "L2"), "dealer": self.dealer(), "receipt": self.one("A", "B")}
        return "delivery.received.v1", {**about, "arrived": self.time(), "lines": self.lines("accepted")}

    def returned(self) -> Fact:
        about = {"return": self.one("B1", "B2"), "dealer": self.dealer(), "reason": "aged"}
        way = {"direction": self.one("to_company", "to_dealer"), "order": self.some("O1")}
        return "return.received.v1", {**about, **way, "lines": self.lines(condition="sellable")}

    def exchanged(self) -> Fact:
        about = {
            "exchange": "X1",
            "dealer": self.dealer(),
            "outlet": self.some(self.place()),
            "reason": "aged",
        }
        return "goods.exchanged.v1", {**about, "in": self.lines(), "out": self.lines()}

    def sold(self) -> Fact:
        about = {"report": self.one("Q1", "Q2"), "dealer": self.dealer(), "currency": "CNY"}
        flow = {"flow": self.one("secondary", "tertiary"), "outlet": self.some(self.place())}
        return "sellout.reported.v1", {**about, **flow, **self.span(), "lines": self.lines(net="3")}

    # stock

    def moved(self) -> Fact:
        how = self.one("in", "out", "transfer", "adjust", "scrap", "block", "release")
        return "stock.moved.v1", {
            **{"movement": self.one("M1", "M2", "M3"), "location": self.place(), "kind": how},
            **{"to_location": self.some(self.place()), "dealer": self.some(self.dealer())},
            **{"delivery": self.some("L1", 0.1), "lines": self.lines()},
        }

    def counted(self) -> Fact:
        return "stock.counted.v1", {
            **{"count": self.one("C1", "C2", "C3"), "location": self.place(), "at": self.time()},
            **{"dealer": self.some(self.dealer()), "scope": self.one("full", "listed"), "method": "count"},
            "lines": self.lines(),
        }

    def opened(self) -> Fact:
        about = {"balance": self.one("A1", "A2"), "dealer": self.some(self.dealer()), "as_of": self.time()}
        kind = {"kind": self.one("stock", "receivable"), "location": self.some(self.place())}
        return "balance.opened.v1", {**about, **kind, "lines": self.lines(amount="5", currency="CNY")}

    # money

    def invoice(self) -> Fact:
        about = {"invoice": self.one("I1", "I2"), "dealer": self.dealer(), "currency": "CNY"}
        of = {
            "kind": self.one("invoice", "credit_note"),
            "of": self.some("I1"),
            "due": self.some(self.time()),
        }
        return "invoice.issued.v1", {**about, **of, "lines": [self.lines()[0] | {"line": "1", "net": "7"}]}

    def paid(self) -> Fact:
        about = {"payment": self.one("Y1", "Y2"), "dealer": self.dealer(), "amount": "3", "currency": "CNY"}
        parts = [{"invoice": "I1", "amount": "3"}]
        return "payment.received.v1", {**about, "kind": "payment", "allocations": parts}

    def bounced(self) -> Fact:
        about = {"payment": self.one("Y1", "Y2"), "dealer": self.dealer()}
        return "payment.failed.v1", {**about, "reason": "bounced"}

    # plans

    def target(self) -> Fact:
        scope = {"dealer": self.some(self.dealer(), 0.7), "rep": self.some(self.one(*REPS), 0.3)}
        scope |= {"territory": self.some(self.one(*TERRITORIES[:2]), 0.3), "org": self.some("U", 0.2)}
        measure = self.one("amount", "quantity", "outlets", "collection")
        return self.one("target.set.v1", "target.revised.v1"), {
            **{"target": self.one(*TARGETS), "parent": self.some(self.one("G1", "G2", "G3"))},
            **{"scope": {name: said for name, said in scope.items() if said}, "measure": measure},
            **{"flow": self.one("primary", "primary", "secondary"), **self.span(), "value": "100"},
            "currency": "CNY" if measure in ("amount", "collection") else None,
        }

    def rule(self) -> Fact:
        about = {"policy": "otif-default", "kind": "otif", "version": self.one("1", "2")}
        return "policy.published.v1", {**about, "effective": self.time(), "body": {"level": "line"}}

    def product(self) -> Fact:
        about = {"sku": self.one("COLA", "TEA"), "name": "p", "base_uom": "pc", "volume": "0.5"}
        return "product.listed.v1", {**about, "category": self.some("drinks")}

    def promotion(self) -> Fact:
        about = {"promotion": self.one(*PROMOTIONS), "name": "p", "scope": {"dealers": [self.dealer()]}}
        how = {"kind": "percent", "percent": "10"}
        funding = [{"by": self.dealer(), "share": "0.5"}]
        return "promotion.planned.v1", {**about, **self.span(), "mechanics": how, "funding": funding}

    # parties

    def registered(self) -> Fact:
        about = {"dealer": self.dealer(), "name": "某某商行", "parent": self.some(self.dealer())}
        where = {"territory": self.some(self.one(*TERRITORIES[:2])), "org": self.some("U")}
        return self.one("dealer.registered.v1", "dealer.admitted.v1"), {**about, **where}

    def stopped(self) -> Fact:
        how = self.one("suspended", "reinstated", "banned", "exited")
        return f"dealer.{how}.v1", {"dealer": self.dealer(), "reason": "said so"}

    def merged(self) -> Fact:
        return "dealer.merged.v1", {"dealer": self.dealer(), "merged": self.dealer()}

    def located(self) -> Fact:
        about = {"location": self.place(), "kind": "store"}
        return "location.registered.v1", {**about, "dealer": self.some(self.dealer(), 0.8)}

    def territory(self) -> Fact:
        about = {"territory": self.one(*TERRITORIES), "name": "t"}
        return "territory.defined.v1", {**about, "parent": self.some(self.one(*TERRITORIES))}

    def assigned(self) -> Fact:
        about = {"dealer": self.dealer(), "territory": self.one(*TERRITORIES[:2]), **self.span()}
        return "territory.assigned.v1", {**about, "exclusive": self.chance.random() < 0.5}

    def rep(self) -> Fact:
        ways = {"dealer": self.dealer(), "territory": self.one(*TERRITORIES[:2]), "outlet": "U1"}
        to = dict([self.chance.choice(list(ways.items()))])
        return "rep.assigned.v1", {"rep": self.one(*REPS), "to": to, "from_": self.time()}

    def unit(self) -> Fact:
        return "org.defined.v1", {"org": "U", "name": "unit"}

    def outlet(self) -> Fact:
        about = {"outlet": self.one("U1", "D2"), "name": "o", "class": self.one("a", "b")}
        about |= {"rep": self.some(self.one(*REPS)), "territory": self.some(self.one(*TERRITORIES))}
        return "outlet.opened.v1", {**about, "dealers": [self.dealer()]}

    def contract(self) -> Fact:
        return "contract.signed.v1", {"contract": "CT1", "dealer": self.dealer(), **self.span()}

    # conduct

    def accused(self) -> Fact:
        about = {"case": "V1", "dealer": self.dealer(), "kind": "price"}
        return self.one("violation.recorded.v1", "violation.confirmed.v1"), about

    def given(self) -> Fact:
        first, end = [datetime(2026, month, 1, tzinfo=UTC).isoformat() for month in (1, 4)]
        about = {"dealer": self.dealer(), "period": {"from": first, "to": end}}
        return "assessment.input.v1", {**about, "criterion": "direct", "value": "50", "by": "someone"}
