"""Who acts: a person, the system, or a command-line user."""

import getpass
import os
from dataclasses import asdict, dataclass
from typing import Any, Self


@dataclass(frozen=True, kw_only=True)
class Actor:
    """The one who acts, as the record keeps them. Built from a request by views, by commands and by sync."""

    kind: str  # "person", "system" or "command"
    name: str
    id: str = ""
    roles: tuple[str, ...] = ()
    signed_in: str = ""
    address: str = ""
    correlation_id: str = ""

    @classmethod
    def system(cls, name: str = "segadmin sync") -> Self:
        return cls(kind="system", name=name)

    @classmethod
    def command(cls, by: str = "") -> Self:
        """The operating-system user, or the name given with --by (both are kept)."""
        try:
            account = getpass.getuser()
        except (KeyError, OSError):
            account = f"uid {os.getuid()}"
        return cls(kind="command", name=by or account, id=account, signed_in="command line")

    def as_json(self) -> dict[str, Any]:
        return {**asdict(self), "roles": list(self.roles)}

    @classmethod
    def from_json(cls, data: dict[str, Any]) -> Self:
        return cls(**{**data, "roles": tuple(data.get("roles", ()))})
