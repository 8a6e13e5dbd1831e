"""The language of the channel: events, ids, money, periods. Pure."""
