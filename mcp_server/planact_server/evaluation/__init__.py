"""How good are the plans: benchmarks with known answers, run through the same jail as everybody's plans.

DPAB is Dria's benchmark of plans in Python. `dpab` reads it, `published` and `mocked` run a plan, each in its own way,
`scoring` judges it, `plans` says where plans come from, `evaluating` goes through all items, `results` keeps the file.
"""
