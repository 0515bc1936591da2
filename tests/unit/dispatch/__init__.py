"""Tests of the dispatcher's parts."""
