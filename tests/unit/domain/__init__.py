"""Tests of the aggregates and the values they are made of."""
