"""The token endpoint and what the gateway makes of its tokens."""

from __future__ import annotations

import pytest
import requests

from segadmin.emulator.server import Emulator
from tests.emulator.conftest import TIMEOUT, Client, Clock


def _ask(emulator: Emulator, version: str = "v3", **changes: str) -> requests.Response:
    tenant = emulator.tenant("acme")
    form = {
        "grant_type": "client_credentials",
        "client_id": tenant.client_id,
        "client_secret": tenant.client_secret,
        "scope": tenant.scopes,
        **changes,
    }
    return requests.post(f"{emulator.url}/ims/token/{version}", data=form, timeout=TIMEOUT)


@pytest.mark.parametrize("version", ["v2", "v3"])
def test_a_token_for_the_right_credentials(emulator: Emulator, version: str) -> None:
    answer = _ask(emulator, version)
    assert answer.status_code == 200
    reply = answer.json()
    assert reply["token_type"] == "bearer"
    assert reply["expires_in"] == 86_399
    assert emulator.requests[-1].endpoint == "token"


def test_its_life_can_be_told_in_milliseconds(emulator: Emulator) -> None:
    emulator.tokens.in_milliseconds = True
    assert _ask(emulator).json()["expires_in"] == 86_399_992


def test_parameters_may_come_in_the_query(emulator: Emulator) -> None:
    tenant = emulator.tenant("acme")
    query = {
        "grant_type": "client_credentials",
        "client_id": tenant.client_id,
        "client_secret": tenant.client_secret,
        "scope": tenant.scopes,
    }
    answer = requests.post(f"{emulator.url}/ims/token/v2", params=query, timeout=TIMEOUT)
    assert answer.status_code == 200


@pytest.mark.parametrize(
    ("changes", "error"),
    [
        ({"client_id": "nobody"}, "invalid_client"),
        ({"client_secret": "wrong"}, "invalid_client"),
        ({"client_secret": "größer"}, "invalid_client"),
        ({"grant_type": "password"}, "unsupported_grant_type"),
        ({"scope": "openid,everything"}, "invalid_scope"),
    ],
)
def test_wrong_credentials_get_the_identity_services_error(
    emulator: Emulator, changes: dict[str, str], error: str
) -> None:
    answer = _ask(emulator, **changes)
    assert answer.status_code == 400
    assert answer.json()["error"] == error
    assert answer.json()["error_description"]


def test_a_token_ends(acme: Client, clock: Clock) -> None:
    clock.move(86_398)
    assert acme.jobs().status_code == 200
    clock.move(2)
    answer = acme.jobs()
    assert answer.status_code == 401
    assert answer.json() == {"error_code": "401013", "message": "Oauth token is not valid"}


def test_all_tokens_can_be_made_invalid(acme: Client, emulator: Emulator) -> None:
    emulator.forget_tokens()
    assert acme.jobs().status_code == 401


def test_get_is_not_allowed(emulator: Emulator) -> None:
    assert requests.get(f"{emulator.url}/ims/token/v3", timeout=TIMEOUT).status_code == 405
