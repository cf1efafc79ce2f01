"""The real settings with a data folder of its own and cheap passwords; DATABASE_URL chooses the database as always."""

import atexit
import os
import shutil
import tempfile

for _name in [name for name in os.environ if name.startswith("SEGADMIN_")]:
    del os.environ[_name]
_folder = tempfile.mkdtemp(prefix="segadmin-test-")
atexit.register(shutil.rmtree, _folder, ignore_errors=True)
os.environ["SEGADMIN_DATA_DIR"] = _folder
os.mkdir(os.path.join(_folder, "static"))  # `serve` collects the static files; without the folder whitenoise warns
os.environ["SEGADMIN_SECRET_KEY"] = "only-for-tests-" * 5
os.environ["SEGADMIN_ENCRYPTION_KEYS"] = "t1:" + "dGVzdC1vbmx5LWtleS1vZi0zMi1ieXRlcy1sb25nISE="
os.environ["SEGADMIN_UPSTREAM_HOSTS"] = "platform.adobe.io,ims-na1.adobelogin.com"

from segadmin.settings import *  # noqa: E402, F403
from segadmin.settings import STORAGES  # noqa: E402

PASSWORD_HASHERS = ["django.contrib.auth.hashers.MD5PasswordHasher"]
STORAGES = {**STORAGES, "staticfiles": {"BACKEND": "django.contrib.staticfiles.storage.StaticFilesStorage"}}
LOGGING_CONFIG = None
