"""Unit tests of commands/."""
