"""Heads of the log: what the whole log was at a moment, signed, to be kept by somebody else."""

from __future__ import annotations

import base64
import os
from datetime import datetime
from pathlib import Path

import msgspec
from cryptography.exceptions import InvalidSignature
from cryptography.hazmat.primitives import serialization
from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PrivateKey, Ed25519PublicKey
from msgspec import Struct

from domain.errors import QudaoError

DOMAIN = b"qudao-head-v1\n"  # so that a signature of something else is never one of a head


class HeadError(QudaoError):
    """A key or a head cannot be read, or a head was not signed by the key it names."""

    code = "head"


class Head(Struct, frozen=True):
    """Who holds it can prove later that nothing up to its sequence was altered, left out or put in between."""

    store_id: str
    sequence: int
    chain: str  # hexadecimal; covers every message, its sequence and its time
    signed_at: datetime
    public_key: str  # Ed25519, base64
    signature: str = ""  # Ed25519, base64, of all of the above


def read_key(path: Path) -> Ed25519PrivateKey:
    """The key in a file; made, for its owner's eyes only, where there is none yet. Raises HeadError."""
    try:
        if not path.exists():
            made = Ed25519PrivateKey.generate()
            form = serialization.Encoding.PEM, serialization.PrivateFormat.PKCS8, serialization.NoEncryption()
            handle = os.open(path, os.O_WRONLY | os.O_CREAT | os.O_EXCL, 0o600)
            with os.fdopen(handle, "wb") as file:
                file.write(made.private_bytes(*form))
            return made
        key = serialization.load_pem_private_key(path.read_bytes(), password=None)
    except (OSError, ValueError, TypeError) as error:
        raise HeadError(f"the key {path} cannot be used: {error}") from None
    if not isinstance(key, Ed25519PrivateKey):
        raise HeadError(f"the key {path} is no Ed25519 key")
    return key


def sign(store_id: str, sequence: int, chain: str, at: datetime, key: Ed25519PrivateKey) -> Head:
    """A head, signed."""
    form = serialization.Encoding.Raw, serialization.PublicFormat.Raw
    public = base64.b64encode(key.public_key().public_bytes(*form)).decode()
    head = Head(store_id, sequence, chain, at, public)
    return msgspec.structs.replace(head, signature=base64.b64encode(key.sign(_signed(head))).decode())


def read_head(path: Path) -> Head:
    """A head from a file, once its signature is proved. Raises HeadError."""
    try:
        head = msgspec.json.decode(path.read_bytes(), type=Head)
        key = Ed25519PublicKey.from_public_bytes(base64.b64decode(head.public_key, validate=True))
        key.verify(base64.b64decode(head.signature, validate=True), _signed(head))
    except (OSError, ValueError) as error:
        raise HeadError(f"{path} is no head: {error}") from None
    except InvalidSignature:
        raise HeadError(
            f"{path} was altered after it was signed: its signature is not of what it says"
        ) from None
    return head


def _signed(head: Head) -> bytes:
    return DOMAIN + msgspec.json.encode(msgspec.structs.replace(head, signature=""))
