"""Stage `export`: a model in the formats that others load, and cards of it and of the data."""
