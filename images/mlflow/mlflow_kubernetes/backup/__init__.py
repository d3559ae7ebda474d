"""Backups: the databases' logins for their own programs, the target, saving and verifying."""
