"""Why a job ran or did not: rules give a verdict, the events behind it, and remedies."""
