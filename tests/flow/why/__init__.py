"""Why a job ran or did not, over real histories."""
