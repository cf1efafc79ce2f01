"""`python -m segadmin.emulator`: the stand-in as a process of its own."""

from __future__ import annotations

import argparse
import signal
import sys
from collections.abc import Sequence
from pathlib import Path
from types import FrameType

from segadmin.emulator.server import Emulator


def _interrupt(_signal: int, _frame: FrameType | None) -> None:
    raise KeyboardInterrupt


def main(arguments: Sequence[str] | None = None) -> int:
    """Serve until interrupted or terminated; prints one line when ready."""
    parser = argparse.ArgumentParser(prog="python -m segadmin.emulator", description=__doc__)
    parser.add_argument("--port", type=int, default=8010, help="0 takes a free one, or the last one with --data-dir")
    parser.add_argument("--jobs", type=int, default=40, help="how many export jobs there are at the first start")
    parser.add_argument("--data-dir", type=Path, help="where state is kept; without it, in memory")
    parser.add_argument("--seed", type=int, default=7, help="makes all ids, at the first start")
    parser.add_argument("--speed", type=float, default=1.0, help="divides how long new jobs take")
    options = parser.parse_args(arguments)
    try:
        emulator = Emulator(options.data_dir, options.port, options.jobs, seed=options.seed, speed=options.speed)
    except RuntimeError as error:  # the folder is in use
        sys.stderr.write(f"{error}\n")
        return 1
    # Also for SIGINT: a shell that starts a program in the background lets it ignore that.
    for number in (signal.SIGTERM, signal.SIGINT):
        signal.signal(number, _interrupt)
    try:
        emulator.bind()
        sys.stdout.write(f"emulator ready at {emulator.url}\n")
        sys.stdout.flush()
        emulator.serve_forever()
    except OSError as error:
        sys.stderr.write(f"cannot listen on port {options.port}: {error}\n")
        return 1
    except KeyboardInterrupt:
        pass  # the wished end
    finally:
        emulator.stop()
    return 0


if __name__ == "__main__":
    sys.exit(main())
