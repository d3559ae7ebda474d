"""What a member's pod does beside Patroni: it decides whether Patroni may start, and fences."""
