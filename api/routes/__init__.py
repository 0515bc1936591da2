"""The routes of the API, one resource a module."""
