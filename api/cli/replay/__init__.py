"""replay: a period of history, played back in the terminal."""
