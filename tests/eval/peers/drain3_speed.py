#!/usr/bin/env python3
"""drain3_speed.py LOG [MEDIC_EVAL]: template mining of drain3 and of medic-eval on the same file, one thread each, in one run.

drain3 is measured two ways: as it comes, with the generic masks of its own README (addresses, hexadecimal numbers,
numbers), each time on lines that are already in memory. medic-eval is measured as a whole process (starting, reading, finding the
header, masking and mining) and, by its own clock, mining alone on records in memory. Processor time counts, so that a busy machine does not decide; the best of three runs
for each.

    python3 -m venv /tmp/drain && /tmp/drain/bin/pip install drain3
    cargo build --release -p medic-eval
    taskset -c 0 /tmp/drain/bin/python tests/eval/peers/drain3_speed.py LOG target/release/medic-eval
"""
import json
import resource
import subprocess
import sys
import time

from drain3 import TemplateMiner
from drain3.masking import MaskingInstruction
from drain3.template_miner_config import TemplateMinerConfig

RUNS = 3
MASKS = [
    (r"((?<=[^A-Za-z0-9])|^)(\d{1,3}\.\d{1,3}\.\d{1,3}\.\d{1,3})((?=[^A-Za-z0-9])|$)", "IP"),
    (r"((?<=[^A-Za-z0-9])|^)(0x[a-f0-9A-F]+)((?=[^A-Za-z0-9])|$)", "HEX"),
    (r"((?<=[^A-Za-z0-9])|^)([\-\+]?\d+)((?=[^A-Za-z0-9])|$)", "NUM"),
]


def drain3(lines, masked):
    config = TemplateMinerConfig()
    config.profiling_enabled = False
    if masked:
        config.masking_instructions = [MaskingInstruction(pattern, name) for pattern, name in MASKS]
    miner = TemplateMiner(config=config)
    began = time.process_time()
    for line in lines:
        miner.add_log_message(line)
    return time.process_time() - began, len(miner.drain.clusters)


def medic(path, program, mining_only):
    spent = lambda: sum(resource.getrusage(resource.RUSAGE_CHILDREN)[:2])
    began = spent()
    out = subprocess.run([program, "templates", path, "--json"], check=True, capture_output=True, text=True).stdout
    figures = json.loads(out)
    if mining_only:
        return figures["lines"] / figures["mined_lines_per_second"], figures["templates"]
    return spent() - began, figures["templates"]


def main():
    if len(sys.argv) not in (2, 3):
        sys.exit(__doc__)
    path, program = sys.argv[1], sys.argv[2] if len(sys.argv) == 3 else "target/release/medic-eval"
    with open(path, encoding="utf-8", errors="replace") as file:
        lines = file.read().splitlines()
    rows = []
    for name, run in (
        ("drain3", lambda: drain3(lines, False)),
        ("drain3, masks", lambda: drain3(lines, True)),
        ("medic-eval", lambda: medic(path, program, False)),
        ("medic, mining", lambda: medic(path, program, True)),
    ):
        seconds, templates = min(run() for _ in range(RUNS))
        rows.append((name, len(lines) / seconds, templates))
    for name, rate, templates in rows:
        print(f"{name:<14} {rate:>12,.0f} lines/s {templates:>6} templates {rate / rows[0][1]:>6.1f} x drain3")


if __name__ == "__main__":
    main()
