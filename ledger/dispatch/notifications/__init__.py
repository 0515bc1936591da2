"""Sends results, trips, storms and recoveries to people."""
