"""The documentation: every command is typed, every list is compared with the code."""
