"""Where the log is: at the address set, else at the server that runs on the data folder."""

from __future__ import annotations

from msgspec.structs import replace

from infra.nats_server import addresses_on
from infra.settings import Settings


def reached(settings: Settings) -> Settings:
    """Settings that name the server running on the data folder, where no other is named."""
    found = addresses_on(settings.nats_folder)
    if found is None or settings.nats not in ("", found[0]):
        return settings
    return replace(settings, nats=found[0], nats_monitor=settings.nats_monitor or found[1])
