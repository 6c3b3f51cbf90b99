"""Programs for the whole machine, written by hand."""

IN, OUT = 1, 2

PIPELINE = """
    # X (8 x 4, bf16) and W (4 x 4, bf16) from window 1; relu(X W) * k0 as f32 to window 2
    set   load, x0, n0, 32
    set   load, x0, bound1, 1
    set   load, x0, bound2, 1
    set   load, x0, bound3, 1
    set   load, x0, bound4, 1
    set   load, x0, hi0, 32
    set   load, x0, hi1, 1
    set   load, x0, hi2, 1
    set   load, x0, hi3, 1
    set   load, x0, hi4, 1
    ld    1, x0, x0, bf16, bf16, 0, 0
    set   load, x0, n0, 16
    addi  x1, x0, 0x101
    addi  x1, x1, -1
    ld    1, x0, x1, bf16, bf16, 0, 64
    post  load, 0, 1
    set   matrix, x0, k, 4
    set   matrix, x0, n, 4
    set   matrix, x0, wstride, 8
    set   matrix, x0, bound1, 8
    set   matrix, x0, bound2, 1
    set   matrix, x0, bound3, 1
    set   matrix, x0, bound4, 1
    set   matrix, x0, astride1, 8
    set   matrix, x0, cstride1, 1
    wait  matrix, 0, 1
    loadw x0, 0, 0, 0, 0x100
    matmul x0, x0, 0, 1, 0
    post  matrix, 1, 1
    set   vector, x0, strip, 8
    set   vector, x0, k0, 0x40000000
    set   vector, x0, s0.base, 0x80000000
    set   vector, x0, s0.n0, 4
    set   vector, x0, s0.stride0, 4
    set   vector, x0, s0.bound1, 8
    set   vector, x0, s0.bound2, 1
    set   vector, x0, s0.bound3, 1
    set   vector, x0, s0.bound4, 1
    set   vector, x0, s0.stride1, 16
    set   vector, x0, d0.base, 0x200
    set   vector, x0, d0.n0, 4
    set   vector, x0, d0.stride0, 4
    set   vector, x0, d0.bound1, 8
    set   vector, x0, d0.bound2, 1
    set   vector, x0, d0.bound3, 1
    set   vector, x0, d0.bound4, 1
    set   vector, x0, d0.stride1, 16
    wait  vector, 1, 1
    run   x0, 2, 8
    fmax  v0, s0, k1
    fmul  d0, v0, k0
    post  vector, 2, 1
    set   store, x0, n0, 32
    set   store, x0, bound1, 1
    set   store, x0, bound2, 1
    set   store, x0, bound3, 1
    set   store, x0, bound4, 1
    set   store, x0, hi0, 32
    set   store, x0, hi1, 1
    set   store, x0, hi2, 1
    set   store, x0, hi3, 1
    set   store, x0, hi4, 1
    addi  x2, x0, 0x200
    wait  store, 2, 1
    st    2, x0, x2, f32, f32, 0, 0
    halt
"""

_ROW = """
    set   load, x0, n0, 4
    set   load, x0, bound1, 1
    set   load, x0, bound2, 1
    set   load, x0, bound3, 1
    set   load, x0, bound4, 1
    set   load, x0, hi0, 4
    set   load, x0, hi1, 1
    set   load, x0, hi2, 1
    set   load, x0, hi3, 1
    set   load, x0, hi4, 1
"""
_LOOPS = "".join(f"loop x0, {9 - depth}, 2\n" for depth in range(9))

ERRORS = {
    # name: (program, cause, engine, address; None when it is not looked at)
    "illegal parameter": ("set load, x0, 25\nhalt", "ILLEGAL", "LOAD", None),
    "illegal loop": ("nop\nloop x0, 0, 1\nhalt", "ILLEGAL", "SEQUENCER", 1),
    "window": (_ROW + "ld 1, x0, x0, f32, f32, 0, 0x4000\nhalt", "WINDOW", "LOAD", 0x4000),
    "window of the store": ("set store, x0, n0, 1\nset store, x0, hi0, 1\n" + "".join(
        f"set store, x0, bound{i}, 1\nset store, x0, hi{i}, 1\n" for i in range(1, 5))
        + "st 1, x0, x0, f32, f32, 0, 8\nhalt", "WINDOW", "STORE", 8),
    "local": ("sts x0, x0, 0x10000000\nhalt", "LOCAL", "SEQUENCER", 0x10000000),
    "misaligned": ("lds x1, x0, 6\nhalt", "MISALIGNED", "SEQUENCER", 6),
    "semaphore": ("post load, 5, 65535\npost store, 6, 1\nwait sequencer, 6, 1\n"
                  "wait sequencer, 5, 1\npost matrix, 5, 2\ndrain 31\nhalt",
                  "SEMAPHORE", "MATRIX", 5),
    "watchdog": ("nop\nloop_for_ever: beq x0, x0, loop_for_ever\n", "WATCHDOG", "SEQUENCER", 1),
    "loop": (_LOOPS + "nop\nhalt", "LOOP", "SEQUENCER", 8),
    "trap": ("addi x5, x0, 40\ntrap x5, 2\nhalt", "TRAP", "SEQUENCER", 42),
    "bus": (_ROW + "ld 7, x0, x0, f32, f32, 0, 32\nhalt", "BUS", "LOAD", 32),
    "fetch": ("nop\nnop\n", "FETCH", "SEQUENCER", 16),
    "deadlock": ("wait load, 0, 1\ndrain 2\nhalt", "WATCHDOG", "SEQUENCER", 1),
}
