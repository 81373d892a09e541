"""Kill, stop and corrupt, by the hundred: what was trained is never lost, and bad input writes nothing.

    python -m tests.soak --kills 100 --signals 40 --mutations 300

from the root of a checkout. It takes about half an hour and exits with 1 if anything was wrong, a line for each.
"""

import argparse
import sys
import tempfile
import time
from pathlib import Path

from tests.soak.kills import killed, references, signalled
from tests.soak.mutations import mutated


def main() -> int:
    """Run it and say what came of it."""
    parser = argparse.ArgumentParser(prog="python -m tests.soak")
    parser.add_argument("--kills", type=int, default=100, help="kill -9 at random moments")
    parser.add_argument("--signals", type=int, default=40, help="SIGINT and SIGTERM at random moments")
    parser.add_argument("--mutations", type=int, default=300, help="changed inputs")
    parser.add_argument("--seed", type=int, default=0, help="of the moments and changes")
    asked = parser.parse_args()
    wrong: list[str] = []

    def complain(what: str) -> None:
        wrong.append(what)
        print(what, flush=True)

    start = time.monotonic()
    with tempfile.TemporaryDirectory() as name:
        folder = Path(name)
        changed = mutated(asked.mutations, folder, asked.seed, complain)
        known = references(folder / "references") if asked.kills or asked.signals else {}
        kills = killed(asked.kills, folder, known, asked.seed, complain)
        stops = signalled(asked.signals, folder, known, asked.seed, complain)
    minutes = (time.monotonic() - start) / 60
    print(f"{kills} kills, {stops} signals, {changed} changed inputs: {len(wrong)} wrong, {minutes:.0f} min")
    return int(bool(wrong))


if __name__ == "__main__":
    sys.exit(main())
