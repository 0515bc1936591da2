"""The demonstration `python -m api.demo`: a storm trips thirty jobs, one is resumed by force."""
