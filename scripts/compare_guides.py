"""``ppl-vae compare``, runnable from a checkout: python scripts/compare_guides.py --help."""

import sys
from pathlib import Path

sys.path.insert(0, str(Path(__file__).resolve().parents[1]))

from ppl_vae.app.cli import main

if __name__ == "__main__":
    sys.exit(main(["compare", *sys.argv[1:]]))
