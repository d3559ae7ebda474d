"""Backups of the shared stack: made, verified, damaged, shown by `make status`."""

from harness import clients
from harness.stack import Stack
from tests.e2e.support import backups


def test_a_backup_has_all_and_the_next_one_copies_what_is_new(
    stack: Stack, machine: clients.Machine
) -> None:
    backups.assert_backups_are_good(stack, machine)


def test_the_last_good_backup_is_told(stack: Stack) -> None:
    backups.assert_the_last_good_one_is_told(stack)


def test_nobody_reads_a_backup_without_the_passphrase(stack: Stack) -> None:
    backups.assert_nothing_is_in_clear(stack)


def test_a_damaged_backup_is_found(stack: Stack) -> None:
    backups.assert_a_damaged_backup_is_found(stack)
