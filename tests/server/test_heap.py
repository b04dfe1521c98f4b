"""When a server's process searches its memory for cycles."""

import subprocess
import sys


def test_what_a_server_is_made_of_is_not_gone_over_again_and_what_comes_after_it_is() -> None:
    code = """
import gc, weakref
from planact_server.heap import hold_collections, settle

class Node:
    pass

def cycle():
    node = Node()
    node.itself = node
    return weakref.ref(node)

hold_collections()
held = [cycle() for _ in range(5_000)]
assert not gc.isenabled() and all(each() for each in held)
settle()
assert gc.isenabled() and len(gc.get_objects()) < 100 < gc.get_freeze_count()
later = [cycle() for _ in range(5_000)]
assert all(each() for each in held) and not later[0]()
"""
    subprocess.run([sys.executable, "-c", code], check=True, timeout=60)
