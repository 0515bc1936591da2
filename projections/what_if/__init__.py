"""What breakers would have done with the recorded runs under another policy."""
