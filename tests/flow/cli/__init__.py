"""The command line as it is typed: without a server, beside one, and on a terminal."""
