"""What an error report may hold: where it broke, and no value that was at work there. Named in settings."""

import re
from collections.abc import ItemsView
from types import FrameType
from typing import Any

from django.http import HttpRequest, QueryDict
from django.views.debug import SafeExceptionReporterFilter


class NoValues(SafeExceptionReporterFilter):
    """No local variables, nothing that was posted, no cookies, and no address that may hold a password; always."""

    hidden_settings = re.compile(
        f"{SafeExceptionReporterFilter.hidden_settings.pattern}|COOKIE|URL|PROXY|MAIL", re.IGNORECASE
    )

    def is_active(self, request: HttpRequest | None) -> bool:  # noqa: ARG002
        return True

    def get_post_parameters(self, request: HttpRequest | None) -> QueryDict:  # noqa: ARG002
        return QueryDict()

    def get_safe_cookies(self, request: HttpRequest) -> dict[str, str]:
        return dict.fromkeys(request.COOKIES, self.cleansed_substitute)

    def get_traceback_frame_variables(
        self,
        request: HttpRequest | None,  # noqa: ARG002
        tb_frame: FrameType,  # noqa: ARG002
    ) -> ItemsView[str, Any]:
        return dict[str, Any]().items()
