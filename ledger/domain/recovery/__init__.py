"""The Recovery aggregate: which failed jobs are resumed, in which order, how fast."""
