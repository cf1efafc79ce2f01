"""The JSON of Adobe's console, in the shapes it comes in."""

import json
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from segadmin.forms.console import ConsoleCredential, NotUsable, parse

WANTED = ConsoleCredential(
    client_id="c4f1a7e0", secret="p8e-secret", scopes="openid,AdobeID", ims_org_id="AC3E0000@AdobeOrg"
)
OAUTH = {
    "client_id": "c4f1a7e0",
    "client_secrets": ["p8e-secret"],
    "technical_account_email": "0@techacct.adobe.com",
    "technical_account_id": "0@techacct.adobe.com",
    "scopes": ["openid", "AdobeID"],
}


def project(credentials: list[dict[str, Any]]) -> dict[str, Any]:
    return {
        "project": {
            "id": "4566206088345",
            "name": "exports",
            "org": {"id": "1", "name": "Acme", "ims_org_id": "AC3E0000@AdobeOrg"},
            "workspace": {"id": "2", "name": "Production", "details": {"credentials": credentials, "services": []}},
        }
    }


SHAPES = {
    "credential": {
        "CLIENT_SECRETS": ["p8e-secret", "an-older-one"],
        "ORG_ID": "AC3E0000@AdobeOrg",
        "CLIENT_ID": "c4f1a7e0",
        "SCOPES": ["openid", "AdobeID"],
        "TECHNICAL_ACCOUNT_ID": "0@techacct.adobe.com",
    },
    "scopes as text": {
        "CLIENT_SECRETS": ["p8e-secret"],
        "ORG_ID": "AC3E0000@AdobeOrg",
        "CLIENT_ID": "c4f1a7e0",
        "SCOPES": "openid, AdobeID",
    },
    "secret as text": {
        "client_secret": " p8e-secret ",
        "org_id": "AC3E0000@AdobeOrg",
        "client_id": "c4f1a7e0",
        "scopes": "openid AdobeID",
    },
    "secrets as objects": {
        "CLIENT_SECRETS": [{"client_secret": "p8e-secret", "created_at": 1}],
        "ORG_ID": "AC3E0000@AdobeOrg",
        "CLIENT_ID": "c4f1a7e0",
        "SCOPES": ["openid", "AdobeID"],
    },
    "project": project([{"id": "1", "integration_type": "oauth_server_to_server", "oauth_server_to_server": OAUTH}]),
    "project with a browser credential beside it": project(
        [
            {"id": "1", "integration_type": "oauth_server_to_server", "oauth_server_to_server": OAUTH},
            {"id": "2", "integration_type": "apikey", "api_key": {"client_id": "another"}},
        ]
    ),
    "postman": {
        "name": "OAuth Server-to-Server",
        "values": [
            {"key": "CLIENT_SECRET", "value": "p8e-secret", "enabled": True},
            {"key": "API_KEY", "value": "c4f1a7e0", "enabled": True},
            {"key": "SCOPES", "value": "openid,AdobeID", "enabled": True},
            {"key": "IMS_ORG", "value": "AC3E0000@AdobeOrg", "enabled": True},
            {"key": "ACCESS_TOKEN", "value": "", "enabled": True},
        ],
    },
}


@pytest.mark.parametrize("shape", SHAPES)
def test_every_known_shape_is_read(shape: str) -> None:
    assert parse(f"\ufeff {json.dumps(SHAPES[shape])}\n") == WANTED


def test_the_secret_stays_out_of_the_repr() -> None:
    assert "p8e-secret" not in repr(WANTED)


@pytest.mark.parametrize(
    ("text", "told"),
    [
        ("", "not the JSON"),
        ("[]", "not the JSON"),
        ("{" * 50_000, "not the JSON"),
        ("{}", "no OAuth server-to-server"),
        ('{"CLIENT_ID": "a"}', "no client secret"),
        ('{"CLIENT_ID": "a", "CLIENT_SECRETS": []}', "no client secret"),
        ('{"CLIENT_ID": "a", "metascopes": ["ent_x"]}', "service account"),
        ('{"a": "' + "x" * 200_001 + '"}', "far longer"),
    ],
)
def test_other_texts_are_refused_with_what_to_do(text: str, told: str) -> None:
    with pytest.raises(NotUsable, match=told):
        parse(text)


def test_several_credentials_are_refused() -> None:
    both = project([{"oauth_server_to_server": OAUTH}, {"oauth_server_to_server": {**OAUTH, "client_id": "another"}}])
    with pytest.raises(NotUsable, match="holds 2 credentials"):
        parse(json.dumps(both))


JSON = st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats() | st.text(max_size=8),
    lambda inner: (
        st.lists(inner, max_size=4)
        | st.dictionaries(st.sampled_from(["CLIENT_ID", "CLIENT_SECRETS", "SCOPES", "values", "key", "value"]), inner)
    ),
    max_leaves=20,
)


@given(JSON)
def test_no_json_breaks_it(content: Any) -> None:
    try:
        found = parse(json.dumps(content))
    except NotUsable:
        return
    assert found.client_id
    assert found.secret
