"""The outside of the ledger: HTTP API, web page, command line, metrics and traces."""
