"""The Job aggregate: its state, decisions and evolution, and the values it is made of."""
