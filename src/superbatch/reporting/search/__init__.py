"""Search: what was asked for and found, as text, as a picture, and as a page that goes on searching offline."""
