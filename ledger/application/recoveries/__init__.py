"""Questions about recoveries, answered from their events."""
