"""Row formats that core brings. No two of them claim the same row, so that detection is never a guess."""
