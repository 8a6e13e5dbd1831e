"""A simulated beverage maker's year of events: pure, seeded and fast, for the demo, benchmarks and tests."""

from cli.simulation.outbox import Published
from cli.simulation.tally import Tally
from cli.simulation.year import events

__all__ = ["Published", "Tally", "events"]
