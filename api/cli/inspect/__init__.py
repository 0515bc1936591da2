"""Questions to the ledger: history, causes, storms, gaps, comparisons, exports."""
