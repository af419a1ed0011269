"""What the chart renders, whole, for every value that can be said."""
