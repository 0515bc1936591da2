"""What makes things fail: processes that are killed, proxies, full disks."""
