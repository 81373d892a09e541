"""MIDI files, read back by another library than the one that wrote them."""

import pytest
import symusic

from ppl_vae.data.midi import midi

PIECES = {
    "chords": [[60, 64, 67], [62, 65, 69], [60]],
    "held": [[60, 64], [60, 65], [60]],
    "silence within": [[60], [], [], [72, 21]],
    "silence first": [[], [108]],
    "silence last": [[50], [], []],
    "repeated after a rest": [[60], [], [60]],
    "silence": [[], []],
}


def notes_of(piece: list[list[int]]) -> set[tuple[int, int, int]]:
    """Pitch, first step and number of steps of every note, found another way than the writer's."""
    found = set()
    for step, notes in enumerate(piece):
        for note in notes:
            if step == 0 or note not in piece[step - 1]:
                end = next((later for later in range(step, len(piece)) if note not in piece[later]), len(piece))
                found.add((note, step, end - step))
    return found


@pytest.mark.parametrize("name", PIECES)
def test_another_library_reads_the_notes(name: str) -> None:
    score = symusic.Score.from_midi(midi(PIECES[name]))
    quarter = score.ticks_per_quarter
    tracks = [track for track in score.tracks if track.notes]
    found = {(n.pitch, n.start / quarter, n.duration / quarter) for track in tracks for n in track.notes}
    assert found == notes_of(PIECES[name])
    assert [round(tempo.qpm, 3) for tempo in score.tempos] == [90]
