"""Reads and writes crontabs: lines, variables, percent signs. Knows no HTTP and no terminal."""
