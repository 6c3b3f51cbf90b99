"""From groups of tensor operations to instructions.

`lower` walks a function and asks a generator per kind of group (`vector`, `transfers`,
`reduction`, `contraction`, `convolution`, `control`) for *commands*: pieces of work of one engine
that name the memory they read and write. The rest turns any list of commands into a program:
`dependences` finds what must wait for what, `schedule` the order of dispatch, `synchronise` the
semaphores, `emit` the words.
"""
