"""The read side without a ledger: timelines, playback, simulation."""
