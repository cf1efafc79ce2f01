"""How ids of Adobe stand in addresses."""

import re
from base64 import urlsafe_b64decode, urlsafe_b64encode

# Beside the jobs of a sandbox stands the address `new`; these would be changed by browsers on the way.
_TAKEN = frozenset({"new", ".", ".."})
_MARK = "~"


class JobId:
    """A job id as it is; one with a slash, or one that is an address of its own, as "~" and its base64 form.

    So what follows the id in an address, such as `/cancel/`, can never be part of it.
    """

    regex = "[^/]+"

    def to_python(self, value: str) -> str:
        """Raises ValueError, which is "not found", for what `to_url` does not make."""
        if not value.startswith(_MARK):
            if value in _TAKEN:
                raise ValueError(value)
            return value
        coded = value.removeprefix(_MARK)
        if not re.fullmatch(r"[A-Za-z0-9_-]+", coded):
            raise ValueError(value)
        found = urlsafe_b64decode(coded + "=" * (-len(coded) % 4)).decode()
        if self.to_url(found) != value:
            raise ValueError(value)
        return found

    def to_url(self, value: str) -> str:
        if "/" not in value and value not in _TAKEN and not value.startswith(_MARK):
            return value
        return _MARK + urlsafe_b64encode(value.encode()).decode().rstrip("=")
