"""Which nodes are alive, and which open runs are lost."""
