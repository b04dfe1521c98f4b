"""The second engine: plans run in Monty, an interpreter for a part of Python that is written in Rust.

Nothing that a plan can say reaches the system there: there are no files, no sockets, no modules of the machine to
begin with. On Linux it runs in the same jail besides. `outline` reads a plan as `inside` does for the other engines;
`feed` runs it, one suspension after the other; `source` starts the processes.
"""
