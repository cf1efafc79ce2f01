"""Forms about files: a copy to compare with its receipt (hashed while it arrives, never stored), and an evidence pack."""

import hashlib
import io
import re
from typing import Any

from django import forms
from django.core.files.uploadedfile import UploadedFile
from django.core.files.uploadhandler import FileUploadHandler, StopUpload
from django.utils.translation import gettext_lazy as _

from segadmin.forms.fields import TEXT
from segadmin.forms.findings import day_field

MOST_BYTES = 4 * 2**30


class Hashed(UploadedFile):  # type: ignore[type-arg]  # takes no parameter when it runs
    """An upload of which only name, size and hash are left."""

    def __init__(self, name: str, size: int, sha256: str) -> None:
        super().__init__(io.BytesIO(), name, "application/octet-stream", size)
        self.sha256 = sha256


class HashingHandler(FileUploadHandler):
    """Hashes what arrives, and keeps nothing of it. More than MOST_BYTES end the upload."""

    too_big = False

    def new_file(self, *args: Any, **kwargs: Any) -> None:
        super().new_file(*args, **kwargs)
        self._hash = hashlib.sha256()

    def receive_data_chunk(self, raw_data: bytes, start: int) -> None:
        if start + len(raw_data) > MOST_BYTES:
            self.too_big = True
            raise StopUpload(connection_reset=True)
        self._hash.update(raw_data)

    def file_complete(self, file_size: int) -> Hashed:
        return Hashed(self.file_name or "file", file_size, self._hash.hexdigest())


class CheckForm(forms.Form):
    """A file, or its SHA-256."""

    file = forms.FileField(
        label=_("File"),
        required=False,
        allow_empty_file=True,
        help_text=_("As it was downloaded. It is read to compute its hash, and not kept. At most 4 GB."),
    )
    sha256 = forms.CharField(
        label=_("Or its SHA-256"),
        required=False,
        max_length=200,
        widget=forms.TextInput(attrs=TEXT),
        help_text=_("64 characters, as the command sha256sum prints them."),
    )

    def clean_sha256(self) -> str:
        text: str = self.cleaned_data["sha256"].strip().lower()
        found = re.search(r"(?<![0-9a-f])[0-9a-f]{64}(?![0-9a-f])", text)
        if text and found is None:
            raise forms.ValidationError(_("A SHA-256 has 64 characters, 0 to 9 and a to f."))
        return found[0] if found else ""

    def clean(self) -> dict[str, Any]:
        cleaned = super().clean() or self.cleaned_data
        if not self.errors and not cleaned.get("file") and not cleaned.get("sha256"):
            self.add_error("file", _("Choose a file, or paste its SHA-256."))
        return cleaned

    @property
    def hash(self) -> str:
        """The hash to look for."""
        file = self.cleaned_data.get("file")
        return file.sha256 if isinstance(file, Hashed) else str(self.cleaned_data["sha256"])


class PackForm(forms.Form):
    """What an evidence pack is about, beside the filters of the record."""

    job = forms.CharField(
        label=_("Export job"),
        required=False,
        max_length=200,
        widget=forms.TextInput(attrs=TEXT),
        help_text=_("Adobe’s id of one job: then the pack holds the records of this job and of the request for it."),
    )

    def __init__(self, *args: Any, **kwargs: Any) -> None:
        super().__init__(*args, **kwargs)
        self.fields["from"] = day_field(_("From"), required=False)
        self.fields["to"] = day_field(_("To"), required=False)
        self.order_fields(["from", "to", "job"])

    def clean(self) -> dict[str, Any]:
        cleaned = super().clean() or self.cleaned_data
        first, last = cleaned.get("from"), cleaned.get("to")
        if first and last and first > last:
            self.add_error("to", _("The last day is before the first one."))
        return cleaned

    def clean_job(self) -> str:
        job: str = self.cleaned_data["job"].strip().replace("\x00", "")
        return job
