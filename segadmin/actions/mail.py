"""One mail to one address, by the server that SEGADMIN_MAIL_URL names."""

import hashlib
from urllib.parse import urlsplit

from django.conf import settings
from django.core.mail import EmailMessage
from django.utils.translation import gettext as _


def message_id(*parts: object) -> str:
    """A Message-ID that is the same for the same parts."""
    digest = hashlib.sha256("\n".join(map(str, parts)).encode()).hexdigest()[:32]
    return f"<segadmin.{digest}@{urlsplit(settings.PUBLIC_URL).hostname or 'localhost'}>"


def send_mail(*, to: str, subject: str, body: str, message: str = "") -> str:
    """Empty when the mail server took it, else a sentence that says why not. `message` is its Message-ID."""
    headers = {"Message-ID": message} if message else {}
    mail = EmailMessage(subject=subject, body=body, from_email=settings.MAIL_FROM or None, to=[to], headers=headers)
    try:
        mail.send(using="default")
    except OSError as error:  # smtplib's errors are of this kind too
        return _("The mail server did not take it: %(why)s.") % {"why": error.strerror or type(error).__name__}
    return ""
