"""The list of jobs, and the checkpoints from which its past is answered."""
