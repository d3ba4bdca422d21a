"""What a case and a campaign are, and what may happen to them: pure, from events to events."""
