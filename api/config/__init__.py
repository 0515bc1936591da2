"""Parsers of settings, of the channels in `jobledger.toml`, and of secrets in files."""
