"""What every query shares: pages and their cursors, ranges of time, instants of the past."""
