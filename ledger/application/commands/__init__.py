"""Every command, a frozen dataclass with one method that decides."""
