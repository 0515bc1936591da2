"""The hands of the ledger: each executor runs one kind of job and answers with an outcome, never
with an exception.
"""
