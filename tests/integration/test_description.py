"""Requests made from the OpenAPI document, right and wrong ones: none fails, and each is answered as it says."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

import pytest
import schemathesis
from hypothesis import HealthCheck, given, settings
from litestar import Litestar
from litestar.testing import TestClient
from schemathesis import GenerationMode

from api.openapi import document
from api.views import views_of
from domain.event_types import CATALOGUE
from infra.documents import ROWS
from infra.positions import INDEX
from projections.registry import PROJECTIONS
from tests.lab.databases import Databases
from tests.lab.events import log, order
from tests.lab.site import checked, fold, site

pytestmark = pytest.mark.integration

SPEC = document(views_of(PROJECTIONS, {INDEX: ROWS}), CATALOGUE, "0")
EVERY = [found.ok() for found in schemathesis.openapi.from_dict(SPEC).get_all_operations()]
#: Views are alike: every twelfth of what is asked of them, and all that is asked of nothing else.
OF_VIEWS = [
    one
    for one in EVERY
    if one.definition.raw["operationId"].startswith(("list_", "get_", "explain_", "diff_"))
]
OPERATIONS = [one for one in EVERY if one not in OF_VIEWS] + OF_VIEWS[::12]
#: What can be said wrong of it: a plain page takes nothing.
WAYS = [
    pytest.param(one, mode, id=f"{one.method} {one.path} {mode.name.lower()}")
    for one in OPERATIONS
    for mode in (GenerationMode.POSITIVE, GenerationMode.NEGATIVE)
    if mode is GenerationMode.POSITIVE or list(one.query) or list(one.body)
]
FEW = settings(
    max_examples=1, deadline=None, derandomize=True, database=None, suppress_health_check=list(HealthCheck)
)
IN_JSON = {"Accept": "application/json"}


@pytest.fixture(scope="module")
def service(files: Databases) -> Iterator[TestClient[Litestar]]:
    where = files.new()
    fold(where, log([order()]))
    with site(where) as client:
        yield client


@pytest.mark.parametrize(("operation", "mode"), WAYS)
def test_every_answer_is_what_the_document_says(
    service: TestClient[Litestar], operation: Any, mode: GenerationMode
) -> None:
    @FEW
    @given(operation.as_strategy(generation_mode=mode))
    def described(case: schemathesis.Case) -> None:
        sent = case.as_transport_kwargs(base_url="http://127.0.0.1")
        headers = {str(k): str(v) for k, v in (sent.pop("headers", None) or {}).items()} | IN_JSON
        body = {name: sent[name] for name in ("json", "data") if sent.get(name) is not None}
        if isinstance(body.get("data"), bytes | str):
            body["content"] = body.pop("data")
        response = service.request(
            sent["method"], sent["url"], params=sent.get("params"), headers=headers, **body
        )
        assert response.status_code < 500 or response.status_code == 503, response.text
        if "json" in response.headers.get("content-type", "") and response.status_code != 304:
            checked(response, SPEC, operation.path, operation.method)

    described()
