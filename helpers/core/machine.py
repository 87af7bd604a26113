"""This machine, as every measurement names it."""

from __future__ import annotations

import datetime
import os
import platform
import re
from pathlib import Path


def machine() -> dict[str, object]:
    """Processor, cores, threads, memory in GiB, GPU, system, versions and date."""
    import psutil
    import torch
    import transformers

    file = Path("/proc/cpuinfo")
    named = re.search(
        r"model name\s*:\s*(.+)", file.read_text() if file.exists() else ""
    )
    return {
        "processor": named[1] if named else platform.processor() or platform.machine(),
        "cores": os.cpu_count(),
        "threads": torch.get_num_threads(),
        "memory_gib": round(psutil.virtual_memory().total / 2**30, 1),
        "gpu": torch.cuda.get_device_name() if torch.cuda.is_available() else None,
        "system": f"{platform.system()} {platform.machine()}",
        "python": platform.python_version(),
        "torch": torch.__version__,
        "transformers": transformers.__version__,
        "date": datetime.date.today().isoformat(),
    }


def bf16_pays() -> bool:
    """Whether bfloat16 is faster here than float32, rather than emulated."""
    import torch

    if torch.cuda.is_available():
        return torch.cuda.is_bf16_supported(including_emulation=False)
    # mkldnn's own answer is yes wherever it can emulate it, at a third of the pace
    found = torch.cpu.get_capabilities()
    return any(has for name, has in found.items() if name.endswith("bf16"))
