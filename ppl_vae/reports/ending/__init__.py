"""What a training ends in, in words: its last lines on the terminal, and the card of its run."""
