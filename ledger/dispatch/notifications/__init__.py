"""Notifies people of results, trips, storms and recoveries."""
