"""Unit tests of lab/."""
