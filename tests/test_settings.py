"""Configuration is strict: each fault stops the start with a sentence that says what to write; keys are made once."""

import base64
import os
import runpy
import stat
import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest
from django.core.exceptions import ImproperlyConfigured

from segadmin import environment
from segadmin.environment import Environment

CHECKOUT = Path(__file__).resolve().parent.parent
SECRET = "x" * 60
KEY = base64.b64encode(b"k" * 32).decode()


@pytest.fixture
def load(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> Any:
    """Run the real settings file with just these variables; gives its names."""

    def run(**values: str) -> dict[str, Any]:
        for name in [name for name in os.environ if name.startswith(("SEGADMIN_", "DATABASE_URL"))]:
            monkeypatch.delenv(name)
        for name, value in {"SEGADMIN_DATA_DIR": str(tmp_path / "data"), **values}.items():
            monkeypatch.setenv(name, value)
        return runpy.run_path(str(CHECKOUT / "segadmin" / "settings.py"))

    return run


# -- names and values -------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("name", ["SEGADMIN_SYNC_SECOND", "SEGADMIN_DEBUG", "SEGADMIN_PUBLIC_URL_FILE", "SEGADMIN_"])
def test_an_unknown_name_stops_the_start(load: Any, name: str) -> None:
    with pytest.raises(ImproperlyConfigured, match=f"{name} is not a setting of segadmin.*SEGADMIN_SYNC_SECONDS"):
        load(**{name: "1"})


@pytest.mark.parametrize(
    ("name", "value", "words"),
    [
        ("SEGADMIN_SYNC_SECONDS", "often", "number of seconds from 1 to 3600"),
        ("SEGADMIN_SYNC_SECONDS", "0", "number of seconds"),
        ("SEGADMIN_SYNC_SECONDS", "nan", "number of seconds"),
        ("SEGADMIN_SYNC_SECONDS", "inf", "number of seconds"),
        ("SEGADMIN_UPSTREAM_DEADLINE_SECONDS", "301", "from 1 to 300"),
        ("SEGADMIN_UNKNOWN_WINDOW_SECONDS", "-5", "from 1 to 86400"),
        ("SEGADMIN_PUBLIC_URL", "segadmin.example.com", "https://segadmin.example.com"),
        ("SEGADMIN_PUBLIC_URL", "https://segadmin.example.com/path", "without a path"),
        ("SEGADMIN_PUBLIC_URL", "ftp://segadmin.example.com", "an address such as"),
        ("SEGADMIN_UPSTREAM_PROXY", "proxy:3128", "an address such as"),
        ("SEGADMIN_UPSTREAM_CA_FILE", "/no/such/file.pem", "not a file"),
        ("SEGADMIN_SECRET_KEY", "short", "at least 50 random characters"),
        ("SEGADMIN_ENCRYPTION_KEYS", "k1", "pairs such as k1:BASE64"),
        ("SEGADMIN_ENCRYPTION_KEYS", "k1:c2hvcnQ=", "32 random bytes"),
        ("SEGADMIN_ENCRYPTION_KEYS", "k1:not base64!", "32 random bytes"),
        ("SEGADMIN_ENCRYPTION_KEYS", f"k1:{KEY},k1:{KEY}", "an id of its own"),
        ("SEGADMIN_ENCRYPTION_KEYS", f"k.1:{KEY}", "letters and digits"),
        ("SEGADMIN_ENCRYPTION_KEYS", ",", "is empty"),
        ("SEGADMIN_OIDC_ISSUER", "https://login.example.com", "also needs SEGADMIN_OIDC_CLIENT_ID"),
        ("SEGADMIN_DATA_DIR", "/proc/segadmin", "Set SEGADMIN_DATA_DIR to a folder"),
        ("DATABASE_URL", "mysql://root@localhost/x", "should name SQLite"),
        ("DATABASE_URL", "no address", "DATABASE_URL should"),
        ("DATABASE_URL", "postgres://u:p@host:port/x", "DATABASE_URL should"),
    ],
)
def test_a_malformed_value_says_what_to_write(load: Any, name: str, value: str, words: str) -> None:
    with pytest.raises(ImproperlyConfigured) as caught:
        load(**{name: value})
    assert words in str(caught.value)
    assert name in str(caught.value)
    assert "\n" not in str(caught.value)


def test_an_issuer_is_https(load: Any) -> None:
    values = {"SEGADMIN_OIDC_CLIENT_ID": "id", "SEGADMIN_OIDC_CLIENT_SECRET": "secret"}
    with pytest.raises(ImproperlyConfigured, match="begins with https://"):
        load(SEGADMIN_OIDC_ISSUER="http://login.example.com", **values)
    made = load(SEGADMIN_OIDC_ISSUER="https://login.example.com/realm/", **values)
    assert "https://login.example.com" in made["SECURE_CSP"]["form-action"]
    assert made["SOCIALACCOUNT_PROVIDERS"]["openid_connect"]["OAUTH_PKCE_ENABLED"] is True


def test_the_fault_reaches_the_operator_as_a_sentence(tmp_path: Path) -> None:
    environment_of_it = {"PATH": os.environ["PATH"], "SEGADMIN_DATA_DIR": str(tmp_path), "SEGADMIN_SYNC_SECOND": "5"}
    run = subprocess.run(
        [sys.executable, "manage.py", "check"],
        cwd=CHECKOUT,
        env=environment_of_it,
        capture_output=True,
        text=True,
        timeout=60,
        check=False,
    )
    assert run.returncode != 0
    assert "SEGADMIN_SYNC_SECOND is not a setting of segadmin" in run.stderr.splitlines()[-1]


# -- secrets from files -----------------------------------------------------------------------------------------------


def test_a_secret_may_come_from_a_file(load: Any, tmp_path: Path) -> None:
    for name, value in (("secret", SECRET), ("keys", f"k1:{KEY}\nk2:{base64.b64encode(b'o' * 32).decode()}")):
        (tmp_path / name).write_text(f"{value}\n", encoding="utf-8")
    made = load(SEGADMIN_SECRET_KEY_FILE=str(tmp_path / "secret"), SEGADMIN_ENCRYPTION_KEYS_FILE=str(tmp_path / "keys"))
    assert made["SECRET_KEY"] == SECRET
    assert list(made["ENCRYPTION_KEYS"]) == ["k1", "k2"]
    assert not (tmp_path / "data" / "secret_key").exists()


def test_the_database_address_may_come_from_a_file(load: Any, tmp_path: Path) -> None:
    (tmp_path / "url").write_text("postgres://segadmin:pw@db.example/records\n", encoding="utf-8")
    made = load(DATABASE_URL_FILE=str(tmp_path / "url"))
    assert made["DATABASES"]["default"]["HOST"] == "db.example"
    assert made["DATABASES"]["default"]["OPTIONS"]["pool"]["max_size"] >= 8


def test_value_and_file_together_are_refused(load: Any, tmp_path: Path) -> None:
    (tmp_path / "secret").write_text(SECRET, encoding="utf-8")
    with pytest.raises(ImproperlyConfigured, match="Both SEGADMIN_SECRET_KEY and SEGADMIN_SECRET_KEY_FILE"):
        load(SEGADMIN_SECRET_KEY=SECRET, SEGADMIN_SECRET_KEY_FILE=str(tmp_path / "secret"))


def test_a_file_that_is_not_there_is_told(load: Any) -> None:
    with pytest.raises(ImproperlyConfigured, match="SEGADMIN_SECRET_KEY_FILE names /no/such, which can't be read"):
        load(SEGADMIN_SECRET_KEY_FILE="/no/such")


# -- what follows from the public address -----------------------------------------------------------------------------


def test_https_closes_everything(load: Any) -> None:
    made = load(SEGADMIN_PUBLIC_URL="https://segadmin.example.com", SEGADMIN_TRUSTED_PROXIES="10.0.0.1, 10.0.0.2")
    assert made["SESSION_COOKIE_NAME"].startswith("__Host-")
    assert made["CSRF_COOKIE_NAME"].startswith("__Host-")
    assert made["SESSION_COOKIE_SECURE"] is made["CSRF_COOKIE_SECURE"] is True
    assert made["SECURE_HSTS_SECONDS"] >= 365 * 24 * 3600
    assert made["CSRF_TRUSTED_ORIGINS"] == ["https://segadmin.example.com"]
    assert made["TRUSTED_PROXIES"] == ["10.0.0.1", "10.0.0.2"]
    assert made["SECURE_PROXY_SSL_HEADER"] == ("HTTP_X_FORWARDED_PROTO", "https")
    assert "segadmin.example.com" in made["ALLOWED_HOSTS"]


def test_http_keeps_cookies_that_a_browser_sends_over_http(load: Any) -> None:
    made = load(SEGADMIN_PUBLIC_URL="http://127.0.0.1:8000")
    assert "__" not in made["SESSION_COOKIE_NAME"] + made["CSRF_COOKIE_NAME"]
    assert made["SESSION_COOKIE_SECURE"] is made["CSRF_COOKIE_SECURE"] is False
    assert made["SECURE_HSTS_SECONDS"] == 0
    assert made["SECURE_PROXY_SSL_HEADER"] is None


def test_nothing_is_open_by_default(load: Any) -> None:
    made = load()
    assert made["DEBUG"] is False
    assert "*" not in made["ALLOWED_HOSTS"]
    assert made["TRUSTED_PROXIES"] == []
    assert not any("127.0.0.1" in host for host in made["UPSTREAM_HOSTS"])
    assert "django.contrib.admin" not in made["INSTALLED_APPS"]
    assert made["DATABASES"]["default"]["OPTIONS"]["transaction_mode"] == "IMMEDIATE"


# -- the data folder and its keys -------------------------------------------------------------------------------------


def test_keys_are_made_once_and_closed_to_others(load: Any, tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    first = load()
    said = capsys.readouterr().err
    for words in ("made secret key in", "made encryption keys in"):
        assert words in said
    assert first["SECRET_KEY"] not in said
    folder = tmp_path / "data"
    assert stat.S_IMODE(folder.stat().st_mode) == 0o700
    for name in ("secret_key", "encryption_keys"):
        assert stat.S_IMODE((folder / name).stat().st_mode) == 0o600
    assert sorted(path.name for path in folder.iterdir()) == ["encryption_keys", "secret_key"]
    second = load()
    assert second["SECRET_KEY"] == first["SECRET_KEY"]
    assert second["ENCRYPTION_KEYS"] == first["ENCRYPTION_KEYS"]
    assert len(first["SECRET_KEY"]) >= 50
    assert [len(key) for key in first["ENCRYPTION_KEYS"].values()] == [32]
    assert capsys.readouterr().err == ""


def test_an_open_data_folder_is_closed(tmp_path: Path) -> None:
    folder = tmp_path / "open"
    folder.mkdir(mode=0o755)
    environment.data_dir(Environment({"SEGADMIN_DATA_DIR": str(folder)}), CHECKOUT)
    assert stat.S_IMODE(folder.stat().st_mode) == 0o700


def test_processes_that_start_together_get_one_key(tmp_path: Path) -> None:
    code = (
        "import sys, secrets; from pathlib import Path; from segadmin.environment import key_from_file\n"
        "print('ready', flush=True); sys.stdin.readline()\n"
        "print(key_from_file(Path(sys.argv[1]), 'secret_key', secrets.token_urlsafe(64)))"
    )
    started = [
        subprocess.Popen(
            [sys.executable, "-c", code, str(tmp_path)],
            cwd=CHECKOUT,
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            stderr=subprocess.PIPE,
            text=True,
        )
        for _n in range(4)
    ]
    for process in started:
        assert process.stdout is not None
        assert process.stdout.readline() == "ready\n"
    for process in started:
        assert process.stdin is not None
        process.stdin.write("go\n")
        process.stdin.flush()
    answers = [process.communicate(timeout=60) for process in started]
    keys = {out.strip() for out, _err in answers}
    assert keys == {(tmp_path / "secret_key").read_text(encoding="utf-8").strip()}
    assert sum("made secret key" in err for _out, err in answers) == 1
    assert [path.name for path in tmp_path.iterdir()] == ["secret_key"]


@pytest.mark.parametrize(
    ("words", "expected"),
    [
        (["manage.py", "demo"], "var/demo"),
        (["manage.py", "demo", "--data-dir", "elsewhere"], "elsewhere"),
        (["manage.py", "demo", "--data-dir=elsewhere"], "elsewhere"),
        (["manage.py", "serve", "--data-dir", "elsewhere"], None),
        (["manage.py"], None),
    ],
)
def test_the_demo_has_a_data_folder_of_its_own(
    monkeypatch: pytest.MonkeyPatch, words: list[str], expected: str | None
) -> None:
    monkeypatch.delenv("SEGADMIN_DATA_DIR", raising=False)
    # Set through the patch as well, so that it is taken back afterwards.
    monkeypatch.setenv("SEGADMIN_DATA_DIR", "before")
    environment.use_data_dir_of_command(words)
    chosen = os.environ["SEGADMIN_DATA_DIR"]
    assert chosen == ("before" if expected is None else str(Path(expected).absolute()))
