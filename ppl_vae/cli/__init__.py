"""The command line, a file a command: it opens, calls the library, writes, prints."""
