#!/usr/bin/env python3
"""Entry point. The version check comes first, in syntax that old Pythons parse too."""

import os
import sys

if sys.version_info < (3, 12):
    sys.exit(
        "segadmin needs Python 3.12 or newer; this is %d.%d. Make the virtual environment with a newer one, "
        "for example: python3.13 -m venv .venv" % sys.version_info[:2]
    )


def main():
    os.environ.setdefault("DJANGO_SETTINGS_MODULE", "segadmin.settings")
    try:
        from django.core.management import execute_from_command_line
    except ImportError as error:
        sys.exit(
            "Django is not installed for this Python (%s). Run the set-up command of the README, and call "
            "manage.py with .venv/bin/python." % error
        )
    from segadmin import environment

    environment.use_data_dir_of_command(sys.argv)
    try:
        execute_from_command_line(sys.argv)
    finally:
        close_database()


def close_database():
    """A pool of connections that is left open makes the end of a command wait for its threads."""
    from django.db import connections

    for connection in connections.all(initialized_only=True):
        connection.close()
        if hasattr(connection, "close_pool"):
            connection.close_pool()


if __name__ == "__main__":
    main()
