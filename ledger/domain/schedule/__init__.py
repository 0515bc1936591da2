"""When a job fires: cron grammar, time zones, next fire; the only importer of croniter."""
