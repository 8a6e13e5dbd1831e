"""What was accepted is invoiced and, mostly, paid."""

from __future__ import annotations

from functools import partial

from cli.simulation.outbox import Data
from cli.simulation.run import Order, Run
from cli.simulation.wire import money, quantity

TERM_DAYS = 30


def invoice(run: Run, order: Order, day: int) -> None:
    """Charge what was accepted of an order, if anything; one in twenty is never paid."""
    dealer, rng = order.dealer, run.rng
    lines: list[Data] = []
    total = 0
    for line in order.lines:
        if line.accepted:
            net = line.net * line.accepted // line.quantity
            tax = (net * 13 + 50) // 100
            total += net + tax
            charged: Data = {
                "line": line.line,
                "sku": line.sku.id,
                "quantity": quantity(line.accepted, dealer),
            }
            lines.append(charged | {"net": money(net, dealer), "tax": money(tax, dealer)})
    if not lines:
        return
    order.invoice, due = run.number("INV"), day + TERM_DAYS
    data: Data = {"order": order.id, "due": run.at(due), "currency": dealer.currency, "kind": "invoice"}
    run.send("invoice.issued.v1", order.invoice, day, 1260, data | {"lines": lines}, dealer)
    if total and rng.random() < 0.95:
        late = rng.randrange(4, 40) if rng.random() < 0.2 else rng.randrange(-12, 4)
        run.later(due + late, partial(_pay, run, order, order.invoice, total))


def credit(run: Run, order: Order, lines: list[Data], day: int) -> None:
    """Give back what returned goods had cost."""
    data: Data = {"order": order.id, "currency": order.dealer.currency, "kind": "credit_note"}
    if order.invoice is not None:
        data["of"] = order.invoice
    data["lines"] = [{"line": str(number)} | line for number, line in enumerate(lines, 1)]
    run.send("invoice.issued.v1", run.number("CN"), day, 1260, data, order.dealer)


def _pay(run: Run, order: Order, invoice: str, cents: int, day: int) -> None:
    payment, amount = run.number("PAY"), money(cents, order.dealer)
    data: Data = {
        "amount": amount,
        "currency": order.dealer.currency,
        "method": "transfer",
        "kind": "payment",
    }
    data["allocations"] = [{"invoice": invoice, "amount": amount}]
    run.send("payment.received.v1", payment, day, 660, data, order.dealer)
    if run.chance("bounced", 150):
        run.send("payment.failed.v1", payment, day, 900, {"reason": "bounced"}, order.dealer)
        run.later(day + 7, partial(_pay, run, order, invoice, cents))
