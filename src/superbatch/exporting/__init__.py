"""Taking it away: a trained model in the formats that others load, with cards of what it is and of the data behind it."""
