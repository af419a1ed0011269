"""What shows the rest at work: the lab that pods live in, the scenarios played there, and the report."""
