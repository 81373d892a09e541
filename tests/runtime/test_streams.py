"""Standard streams that are full; closed ones are in ``tests/cli/test_surroundings.py``."""

import os

from ppl_vae.runtime.streams import Steady


class Full:
    """A stream on a full disk."""

    def write(self, text: str = "") -> int:
        raise OSError(28, "No space left on device")

    flush = write


def test_a_full_disk_is_noted_and_what_follows_goes_nowhere() -> None:
    reading, writing = os.pipe()
    stream = Steady(Full(), writing)
    assert stream.write("lost") == 4
    assert stream.failure is not None
    assert stream.failure.errno == 28
    os.write(writing, b"lost too")
    os.close(writing)
    assert os.read(reading, 100) == b""
    os.close(reading)
