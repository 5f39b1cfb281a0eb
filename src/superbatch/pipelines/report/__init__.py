"""Stage `report`: tables, figures and one page over all runs found."""
