"""Which encryption key seals how many stored secrets."""

from collections import Counter
from collections.abc import Iterator
from typing import Any

from allauth.mfa.models import Authenticator
from django.conf import settings

from segadmin.models import Credential, TokenCache


def first_key() -> str:
    """The id of the key that seals from now on."""
    return next(iter(settings.ENCRYPTION_KEYS))


def sealed_by() -> Counter[str]:
    """Key id -> number of stored secrets that it seals: credentials, cached tokens, second factors."""
    secrets = Credential.objects.exclude(secret_sealed="").order_by("pk").values_list("secret_sealed", flat=True)
    tokens = TokenCache.objects.exclude(token_sealed="").order_by("pk").values_list("token_sealed", flat=True)
    factors = Authenticator.objects.order_by("pk").values_list("data", flat=True)
    texts = [*secrets, *tokens, *(text for data in factors for text in sealed_texts(data))]
    return Counter(text.split(".")[1] if text.count(".") == 3 else "" for text in texts)


def sealed_texts(value: Any) -> Iterator[str]:
    """Texts of the form v1.<key id>.<nonce>.<data> anywhere in a JSON value."""
    if isinstance(value, dict | list):
        for item in value.values() if isinstance(value, dict) else value:
            yield from sealed_texts(item)
    elif isinstance(value, str) and value.startswith("v1.") and value.count(".") == 3:
        yield value
