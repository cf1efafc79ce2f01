"""Reads the JSON that Adobe's console gives for an OAuth server-to-server credential, in the shapes it comes in.

Known shapes: the credential's own download (CLIENT_ID, CLIENT_SECRETS, SCOPES, ORG_ID), the project's download
(project.org, project.workspace.details.credentials[]), and the environment for Postman (values[] of key and value).
"""

import json
import re
from collections.abc import Iterator
from dataclasses import dataclass, field
from typing import Any

from django.utils.translation import gettext as _

MAX_LENGTH = 200_000
# Spellings of one thing, in small letters and without separators.
CLIENT_ID = ("clientid", "apikey")
SECRETS = ("clientsecrets", "clientsecret")
SCOPES = ("scopes", "scope")
ORGANIZATION = ("imsorgid", "orgid", "imsorg", "organizationid")


class NotUsable(ValueError):
    """The text holds no credential that can be taken; the message says why and what to paste."""


@dataclass(frozen=True)
class ConsoleCredential:
    """What the console's JSON says; empty where it says nothing. The secret is kept out of the repr."""

    client_id: str
    secret: str = field(repr=False)
    scopes: str
    ims_org_id: str


def parse(text: str) -> ConsoleCredential:
    """The one credential in the text. Raises NotUsable."""
    content = _json(text)
    found = [each for each in _objects(_without_postman(content)) if _value(each, CLIENT_ID)]
    usable = {(_value(each, CLIENT_ID), _value(each, SECRETS)): each for each in found if _value(each, SECRETS)}
    if not usable:
        raise NotUsable(_why_not(content, found))
    if len(usable) > 1:
        raise NotUsable(
            _("This holds %(n)d credentials. Open the wanted one in Adobe's console and download that one alone.")
            % {"n": len(usable)}
        )
    credential = next(iter(usable.values()))
    return ConsoleCredential(
        client_id=_value(credential, CLIENT_ID),
        secret=_value(credential, SECRETS),
        scopes=_scopes(credential),
        ims_org_id=_value(credential, ORGANIZATION) or _organization(content),
    )


def _json(text: str) -> Any:
    if len(text) > MAX_LENGTH:
        raise NotUsable(_("This is far longer than what Adobe's console gives for a credential."))
    try:
        content = json.loads(text.strip().lstrip("\ufeff"))
    except (ValueError, RecursionError):
        raise NotUsable(_("This is not the JSON of Adobe's console. Copy the whole file, from { to }.")) from None
    if not isinstance(content, dict):
        raise NotUsable(_("This is not the JSON of Adobe's console. Copy the whole file, from { to }."))
    return content


def _without_postman(content: dict[str, Any]) -> Any:
    """Turn Postman's list of key and value into an ordinary object."""
    values = content.get("values")
    if not isinstance(values, list):
        return content
    pairs = {}
    for item in values:
        if isinstance(item, dict) and isinstance(item.get("key"), str):
            pairs[item["key"]] = item.get("value", item.get("currentValue"))
    return pairs


def _objects(content: Any, depth: int = 0) -> Iterator[dict[str, Any]]:
    if depth > 20:
        return
    if isinstance(content, dict):
        yield content
        for value in content.values():
            yield from _objects(value, depth + 1)
    elif isinstance(content, list):
        for value in content[:200]:
            yield from _objects(value, depth + 1)


def _plain(key: str) -> str:
    return re.sub(r"[^a-z0-9]", "", key.lower())


def _raw(content: dict[str, Any], names: tuple[str, ...]) -> Any:
    by_name = {_plain(key): value for key, value in content.items()}
    return next((by_name[name] for name in names if by_name.get(name)), None)


def _value(content: dict[str, Any], names: tuple[str, ...]) -> str:
    """The first text under one of the names; of several secrets the first, which is the newest in the console."""
    value = _raw(content, names)
    if isinstance(value, list):
        value = next((item for item in value if isinstance(item, str | dict) and item), None)
    if isinstance(value, dict):
        value = next((item for key, item in value.items() if _plain(key) in {"clientsecret", "secret", "value"}), None)
    return value.strip() if isinstance(value, str) else ""


def _scopes(content: dict[str, Any]) -> str:
    value = _raw(content, SCOPES)
    texts = [item for item in value if isinstance(item, str)] if isinstance(value, list) else [value]
    return ",".join(part for text in texts if isinstance(text, str) for part in text.replace(",", " ").split())


def _organization(content: dict[str, Any]) -> str:
    for each in _objects(_without_postman(content)):
        value = _value(each, ORGANIZATION)
        if value.endswith("@AdobeOrg"):
            return value
    return ""


def _why_not(content: dict[str, Any], found: list[dict[str, Any]]) -> str:
    kinds = {_plain(key) for each in _objects(content) for key in each}
    if kinds & {"jwt", "metascopes", "privatekey", "publickeyfingerprints"}:
        return _(
            "This is a service account (JWT), which Adobe has ended. "
            "Make an OAuth server-to-server credential in Adobe's console and paste its JSON."
        )
    if found:
        return _("This has a client id but no client secret. Retrieve the secret in Adobe's console and paste it.")
    return _("There is no OAuth server-to-server credential in this JSON.")
