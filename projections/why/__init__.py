"""Why a job ran or did not: its state, what happened around it, and what would make it run."""
