"""From a command to the API: at a server, in this process, or read-only beside another owner."""
