"""``make demo``: two nodes, three services, and what the agent sees of them, checked against what the programs sent.

``shop.yaml`` is what runs, ``stage`` brings it up and down, ``truth`` compares, ``__main__`` tells the story.
"""
