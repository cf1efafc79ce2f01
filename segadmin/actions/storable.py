"""Text and JSON from outside, made fit for both databases."""

from typing import Any


def storable(value: Any) -> Any:
    """JSON that both databases can keep: no null characters, no lone surrogates, no NaN or infinity."""
    if isinstance(value, dict):
        return {storable(str(key)): storable(item) for key, item in value.items()}
    if isinstance(value, list | tuple):
        return [storable(item) for item in value]
    if isinstance(value, str):
        return value.encode("utf-8", "replace").decode().replace("\x00", "\ufffd")
    if isinstance(value, float) and (value != value or value in (float("inf"), float("-inf"))):
        return str(value)
    return value
