"""What this machine's processor multiplies natively."""

from __future__ import annotations

from pathlib import Path

# Intel since Cooper Lake and AMD since Zen 4; with AMX in tiles (proc_cpuinfo(5), arch/x86/include/asm/cpufeatures.h)
BF16_FLAGS = {"avx512_bf16", "amx_bf16"}


def has_native_bf16(cpuinfo: Path = Path("/proc/cpuinfo")) -> bool:
    """Whether bf16 products are instructions of this processor, and not emulated."""
    for line in cpuinfo.read_text(encoding="utf-8").splitlines():
        name, _, flags = line.partition(":")
        if name.strip() == "flags":
            return not BF16_FLAGS.isdisjoint(flags.split())
    return False
