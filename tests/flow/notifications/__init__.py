"""Flows of delivery and notices."""
