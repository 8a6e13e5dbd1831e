"""The AsyncAPI 3 document: the events on NATS, a channel for every family, a message for every type."""

from __future__ import annotations

from typing import Any

from api.schemas import described
from domain.catalogue import FAMILIES, Catalogue

Json = dict[str, Any]


def document(catalogue: Catalogue, version: str) -> Json:
    """The whole document; the schemas of types are carried along, so that it needs nothing else."""
    entries = sorted(catalogue.types.items())
    messages = {
        name: {
            "name": name,
            "title": name,
            "summary": (entry.payload.__doc__ or "").strip(),
            "contentType": "application/cloudevents+json",
            "payload": {
                "schemaFormat": "application/schema+json;version=draft-2020-12",
                "schema": described(entry),
            },
        }
        for name, entry in entries
    }
    channels = {
        family: {
            "address": f"channel.{family}.{{dealer}}",
            "parameters": {
                "dealer": {"description": "The dealer's id, escaped; _ where the event has none."}
            },
            "messages": {
                name: {"$ref": f"#/components/messages/{name}"}
                for name, entry in entries
                if family in entry.families
            },
        }
        for family in FAMILIES
    }
    return {
        "asyncapi": "3.0.0",
        "info": {"title": "Qudao 渠道", "version": version},
        "defaultContentType": "application/cloudevents+json",
        "channels": channels,
        "operations": {
            f"receive_{family}": {"action": "receive", "channel": {"$ref": f"#/channels/{family}"}}
            for family in FAMILIES
        },
        "components": {"messages": messages},
    }
