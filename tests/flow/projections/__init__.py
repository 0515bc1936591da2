"""The read side over real ledgers: read models, history, time travel."""
