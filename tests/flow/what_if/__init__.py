"""What-if over real histories."""
