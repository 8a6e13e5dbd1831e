"""What is done to a site while events flow, drawn from a seed, and how long it takes to be at work again."""

from __future__ import annotations

import os
import signal
import time
from collections.abc import Callable
from concurrent.futures import Future
from random import Random
from typing import Literal

from msgspec import Struct

from cli.supervisor import API, PROJECTOR
from tests.torture.publishing import Said
from tests.torture.site import PUBLISHER, VICTIMS, Site

How = Literal["killed", "paused", "cut off", "silent"]
HEALTH_SECONDS = 0.1  # between two looks


class Blow(Struct, frozen=True):
    """At this many events done: who is hit how, and for how long it is paused or cut off."""

    moment: int
    how: How
    victims: tuple[str, ...]
    seconds: float = 0.0


class Hit(Struct, frozen=True):
    """A blow and the seconds from its end until the victims were at work again and all was well."""

    blow: Blow
    resumed_seconds: float


def plan(rng: Random, events: int, kills: int) -> list[Blow]:
    """So many kills, each process in turn and now and then all at once, and some pauses and cuts between."""
    killed: list[tuple[str, ...]] = []
    while (left := kills - sum(map(len, killed))) > 0:
        killed.append(VICTIMS if left >= 9 and rng.random() < 0.1 else (VICTIMS[len(killed) % 3],))
    others = max(3, kills // 5)
    hits: list[tuple[How, tuple[str, ...]]] = [("killed", victims) for victims in killed]
    hits += [("paused", (VICTIMS[n % 3],)) for n in range(others)]
    ways: tuple[How, How] = ("cut off", "silent")
    hits += [(ways[n % 2], ((PROJECTOR, API, PUBLISHER)[n % 3],)) for n in range(others)]
    rng.shuffle(hits)
    moments = sorted(rng.sample(range(events // 20, events * 19 // 20), len(hits)))
    drawn = zip(moments, hits, strict=True)
    return [Blow(at, *hit, 0 if hit[0] == "killed" else rng.uniform(0.3, 3)) for at, hit in drawn]


class Arena:
    """A site, the publishers at work on it, and blow after blow."""

    def __init__(self, site: Site, said: Said, publishing: Future[None], events: int, blows: int) -> None:
        self._site = site
        self._said = said
        self._publishing = publishing
        # Events trickle on while the site recovers, so few that there are some left for the last blow.
        self._trickle_per_second = events / (6 * blows)

    def strike(self, blow: Blow) -> Hit:
        """Wait for its moment, hit, and wait until the victims work again."""
        site, said = self._site, self._said
        said.allowed = max(said.allowed, blow.moment)
        site.tend_until(
            lambda: said.done >= blow.moment or self._publishing.done(), f"at event {blow.moment}"
        )
        pids = {victim: site.pid(victim) for victim in blow.victims if victim != PUBLISHER}
        if blow.how in ("killed", "paused"):
            number = signal.SIGKILL if blow.how == "killed" else signal.SIGSTOP
            for pid in pids.values():
                os.kill(pid, number)
        for victim in blow.victims:
            if blow.how == "cut off":
                site.ways[victim].cut()
            elif blow.how == "silent":
                site.ways[victim].silence()
        self._wait(blow.seconds)
        if blow.how == "paused":
            for pid in pids.values():
                os.kill(pid, signal.SIGCONT)
        elif blow.how in ("cut off", "silent"):
            for victim in blow.victims:
                site.ways[victim].open()
        return Hit(blow, self._resumed(blow))

    def _wait(self, seconds: float) -> None:
        over = time.monotonic() + seconds
        self._site.tend_until(lambda: time.monotonic() >= over, "later")

    def _resumed(self, blow: Blow) -> float:
        working = [self._works_again(victim) for victim in blow.victims]
        said, began, allowed = self._said, time.monotonic(), max(self._said.allowed, self._said.done)
        looked = 0.0

        def resumed() -> bool:
            nonlocal looked
            now = time.monotonic()
            said.allowed = allowed + 10 + self._trickle_per_second * (now - began)
            if now < looked + HEALTH_SECONDS:
                return False
            looked = now
            working[:] = [works for works in working if not works()]
            return not working and self._site.well()

        return self._site.tend_until(resumed, f"at work again after {blow}")

    def _works_again(self, victim: str) -> Callable[[], bool]:
        site, said, publishing = self._site, self._said, self._publishing
        if victim == API:
            return site.serves
        if victim == PROJECTOR:
            folded = site.folded()
            last = max(said.at.values(), default=0)
            return lambda: site.folded() > folded or (publishing.done() and folded >= last)
        done = said.done
        return lambda: said.done > done or publishing.done()
