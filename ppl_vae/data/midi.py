"""Music as standard MIDI files."""

from collections.abc import Sequence
from io import BytesIO

from mido import MetaMessage, MidiFile, MidiTrack, bpm2tempo
from mido.messages import Message

_TICKS = 480  # of a quarter note, which a step is
_BEATS_PER_MINUTE = 90
_VELOCITY = 80


def midi(piece: Sequence[Sequence[int]]) -> bytes:
    """A piece as the bytes of a standard MIDI file, one track, a step a quarter note.

    A note that sounds at one step and the next is one long note: a list of what sounds cannot tell it from two.

    Args:
        piece: the MIDI numbers that sound at each step.
    """
    track = MidiTrack([MetaMessage("set_tempo", tempo=bpm2tempo(_BEATS_PER_MINUTE), time=0)])
    sounding: set[int] = set()
    waited = 0
    for notes in [*map(set, piece), set[int]()]:
        for kind, changed in (("note_off", sounding - notes), ("note_on", notes - sounding)):
            for note in sorted(changed):
                track.append(Message(kind, note=note, velocity=_VELOCITY, time=waited))
                waited = 0
        sounding, waited = notes, waited + _TICKS
    track.append(MetaMessage("end_of_track", time=waited - _TICKS))
    file = BytesIO()
    MidiFile(type=0, ticks_per_beat=_TICKS, tracks=[track]).save(file=file)
    return file.getvalue()
