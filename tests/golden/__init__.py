"""What comes out for what goes in, as files: ``--update`` writes them anew, and git shows what changed."""
