"""How busy the machine is, and how much room it has: one quiet block at the foot of the side bar."""

import streamlit as st

from castle_core.machine import Machine, look_at_machine, readable_size
from castle_core.state import castle_home
from ui.words import plain


@st.cache_data(ttl=10, max_entries=4, show_spinner=False)
def _look(folder: str) -> Machine:
    from pathlib import Path

    return look_at_machine(Path(folder))


def machine_panel(folder: str | None) -> None:
    """Show processors, memory, GPUs and the disk of `folder` (the project's, else the home of the projects)."""
    machine = _look(folder or str(castle_home()))
    lines = [
        f"CPU {machine.cpu_percent:.0f} % of {machine.n_cpus} cores · "
        f"{readable_size(machine.memory_free)} of {readable_size(machine.memory_total)} memory free"
    ]
    for gpu in machine.gpus:
        free = readable_size(gpu.memory_total - gpu.memory_used)
        lines.append(f"{plain(gpu.name)} {gpu.load_percent:.0f} % · {free} free")
    if not machine.gpus:
        lines.append("No GPU")
    low = machine.disk_free < max(5e9, 0.02 * machine.disk_total)
    disk = f"{readable_size(machine.disk_free)} of {readable_size(machine.disk_total)} disk left"
    lines.append(f":material/warning: **{disk}**" if low else disk)
    with st.container(key="machine-panel"):
        st.caption("  \n".join(lines))
