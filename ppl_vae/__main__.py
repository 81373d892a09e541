"""``ppl-vae`` and ``python -m ppl_vae``: a Ctrl-C is answered before anything that takes time is imported."""

import os
import signal
import sys


def main() -> int:
    """Run the process's own command line; the exit status."""
    signal.signal(signal.SIGINT, _leave)
    from ppl_vae.cli.main import main as run

    return run()


def _leave(number: int, frame: object) -> None:
    os.write(2, b"ppl-vae: interrupted\n")
    os._exit(130)


if __name__ == "__main__":
    sys.exit(main())
