"""Audits from Python: the functions and values that `import auditor` offers.

The command line is the other road into the same pipeline; both give the same record. `report`,
`verdicts` and `html` need no torch.
"""
