"""``python -m ppl_vae`` is ``ppl-vae``."""

import sys

from ppl_vae.app.cli import main

if __name__ == "__main__":
    sys.exit(main())
