"""The form of the repository, checked as code: names, sizes, leftovers, and that what a user can meet is documented."""
