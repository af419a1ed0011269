"""The checks, by what they are about; ``ORDER`` is that of a run."""
