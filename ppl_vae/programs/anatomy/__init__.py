"""What a program is made of, found by running it while something about it is changed or watched."""
