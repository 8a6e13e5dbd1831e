"""Errors a caller can act on."""


class QudaoError(Exception):
    """Something a person can put right; `code` is stable and `str()` says what, where and what to do."""

    code = "error"
