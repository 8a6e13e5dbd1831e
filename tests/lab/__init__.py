"""What tests share: events in few words, folding them in memory, and a database on a scratch file."""
