"""Freed memory is kept until it is given back."""

import ctypes
import subprocess
import sys

import pytest

MEASURE = """
import os
from auditor.allocator import keep_freed_memory, return_freed_memory

def resident():
    with open("/proc/self/statm") as file:
        return int(file.read().split()[1]) * os.sysconf("SC_PAGE_SIZE") >> 20

keep_freed_memory()
blocks = [b"1" * 2**20 for _ in range(200)]
pins = [b"1" * 1000 for _ in range(1000)]  # at the end of the heap, which cannot shrink
full = resident()
del blocks
kept = resident()
return_freed_memory()
print(full - kept, kept - resident())
"""


@pytest.mark.skipif(not hasattr(ctypes.CDLL(None), "malloc_trim"), reason="not glibc")
def test_freed_memory_is_kept_until_it_is_given_back():
    done = subprocess.run([sys.executable, "-c", MEASURE], capture_output=True, check=True)
    at_once, later = map(int, done.stdout.split())
    assert at_once < 40
    assert later > 150
