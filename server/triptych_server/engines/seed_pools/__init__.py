"""Captions that searches begin with, and their vectors, as folders of files.

A pool is a folder of three files: `pool.json`, which says what it is (`pool.Description`),
`captions.txt`, UTF-8 with one caption a line, each ended by LF, and `vectors.npy`, float32
`[count, D]` in C order, the unit vector of each line. Whoever writes one makes the folder under a
name that begins with a dot, and renames it: the files are mapped into memory, so one that is
overwritten in place pulls the ground from under who reads it.
"""

from triptych_server.engines.seed_pools.pool import PooledCaption, SeedPool
from triptych_server.engines.seed_pools.pools import SeedPools

__all__ = ["PooledCaption", "SeedPool", "SeedPools"]
