"""One mail to one address, by the server that SEGADMIN_MAIL_URL names."""

from django.conf import settings
from django.core.mail import EmailMessage
from django.utils.translation import gettext as _


def send_mail(*, to: str, subject: str, body: str) -> str:
    """Empty when the mail server took it, else a sentence that says why not."""
    message = EmailMessage(subject=subject, body=body, from_email=settings.MAIL_FROM or None, to=[to])
    try:
        message.send(using="default")
    except OSError as error:  # smtplib's errors are of this kind too
        return _("The mail server did not take it: %(why)s.") % {"why": error.strerror or type(error).__name__}
    return ""
