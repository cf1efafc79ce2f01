"""How an action says that it changed nothing."""

from collections.abc import Mapping

from django.core.exceptions import NON_FIELD_ERRORS, ValidationError


class NotDone(Exception):
    """Nothing was changed. `problems`: input name -> sentence for people; the name is empty where no input is at fault."""

    def __init__(self, problems: str | Mapping[str, str]) -> None:
        self.problems: dict[str, str] = {"": problems} if isinstance(problems, str) else dict(problems)
        super().__init__(" ".join(self.problems.values()))

    @classmethod
    def of(cls, error: ValidationError, names: Mapping[str, str] | None = None) -> "NotDone":
        """From Django's validation; `names` renames inputs."""
        messages = error.message_dict if hasattr(error, "error_dict") else {"": error.messages}
        renamed = {NON_FIELD_ERRORS: "", **(names or {})}
        return cls({renamed.get(name, name): " ".join(texts) for name, texts in messages.items()})
