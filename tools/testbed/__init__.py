"""Test servers: containers that boot real systemd and are reached over SSH, as a VPS is."""
