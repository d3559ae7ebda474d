"""Pulumi's real engine on the program, with the lab's plugins."""
