"""What is due and waits for a free slot or a worker."""
