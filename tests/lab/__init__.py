"""Tests of the lab that need root and a machine of its kind."""
