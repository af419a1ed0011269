"""What a real cluster's own flows say: where its addresses misled, what its policies would have done, what to write.

Flow records of agents and objects of the API server in, ``results/observed/results.json`` out; nothing is changed
anywhere. ``run.look`` is the whole of it.
"""
