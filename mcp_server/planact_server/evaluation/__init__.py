"""How good are the plans: benchmarks with known answers, run through the same jail as everybody's plans.

DPAB is Dria's benchmark of plans in Python. `dpab` reads it, `published` and `observed` run a plan and judge it, each
in its own way, `plans` says where plans come from, `evaluation` goes through all items, `results` keeps the file.
"""
