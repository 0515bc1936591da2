"""replay: a stretch of history played in the terminal."""
