#!/usr/bin/env python3
"""perturb_rca.py CASES TRUTH OUT [KIND...]: copies of root-cause cases as another system would have recorded them.

CASES is a folder as `medic-eval rca` takes it, TRUTH its list of {"case", "root_service", ...}. For each KIND the copy goes to
OUT/KIND/cases and the truth, its services renamed where they are, to OUT/KIND/truth.json. The same input gives the same copy.

    rename   every service gets a word for a name
    hazard   every service gets a name that is made of what metrics are called: thread-pool, error-tracker
    shift    all clocks 17 hours ahead
    late60, late180, late300, early30   the alert so many seconds later or earlier
    nocalls  no call graph and no series of calls between services
    halfcalls   four in ten calls are not known
    otel, istio, custom   metrics and labels named after other conventions
    drop     three in ten series are missing
    scale    every metric in another unit
    gaps     a tenth of all samples is missing or NaN
    jitter   3 % of noise on every sample
"""
import csv
import datetime
import gzip
import io
import json
import pathlib
import random
import re
import sys

WORDS = """acorn amber basalt birch cedar cobalt copper coral delta dune elm ember falcon fern fjord garnet glade harbor hazel
heron indigo iris jade jasper juniper kestrel lagoon lotus maple marble meadow nectar onyx orchid pebble quartz quill raven
ridge sable saffron summit thistle topaz tundra umber velvet violet walnut willow xenon yarrow zephyr""".split()
HAZARDS = """thread-pool node-manager payment-queue memory-store latency-monitor disk-indexer network-api error-tracker
request-router cpu-planner connection-broker host-directory timeout-guard success-story callcenter ops-portal""".split()
LATE_S = {"late60": 60, "late180": 180, "late300": 300, "early30": -30}
SHIFT_S = 61_987
KINDS = ["rename", "hazard", "shift", *LATE_S, "nocalls", "halfcalls", "otel", "istio", "custom", "drop", "scale", "gaps", "jitter"]
NAMING_LABELS = r'((?:service|node|caller|callee)=")((?:[^"\\]|\\.)*)"'
# What a metric measures, by what its name holds; the name under another convention.
MEANINGS = [
    (r"nodecpu", "k8s_node_cpu_utilization", "node_cpu_utilization"),
    (r"nodememory", "k8s_node_memory_utilization", "node_memory_utilization"),
    (r"nodenetwork", "k8s_node_network_io", "node_network_receive_bytes"),
    (r"clientlatency(p\d+)", r"http_client_request_duration_\1", r"istio_client_request_duration_\1"),
    (r"serverlatency(p\d+)", r"http_server_request_duration_\1", r"istio_request_duration_\1"),
    (r"edge_latency", "traces_spanmetrics_duration", "istio_edge_duration"),
    (r"app_latency", "http_server_request_duration", "istio_request_duration"),
    (r"cpu_usage_rate", "k8s_pod_cpu_limit_utilization", "container_cpu_utilization"),
    (r"cpu", "k8s_pod_cpu_usage", "container_cpu_usage_seconds"),
    (r"memory_usage_rate", "k8s_pod_memory_limit_utilization", "container_memory_utilization"),
    (r"memory", "k8s_pod_memory_working_set", "container_memory_working_set_bytes"),
    (r"receive", "k8s_pod_network_io_receive", "container_network_receive_bytes"),
    (r"transmit", "k8s_pod_network_io_transmit", "container_network_transmit_bytes"),
    (r"workload|requests", "http_server_requests", "istio_requests"),
    (r"success", "http_server_success_ratio", "istio_success_rate"),
]


def chance(*what):
    return random.Random("|".join(map(str, what))).random()


def opened(path, mode):
    return gzip.open(path, mode + "t", encoding="utf-8") if path.suffix == ".gz" else open(path, mode, encoding="utf-8")


def read(path):
    with opened(path, "r") as file:
        return file.read()


def services(root):
    found = set()
    for path in root.rglob("series.csv.gz"):
        with opened(path, "r") as file:
            for header in next(csv.reader(file))[1:]:
                found.update(name for _, name in re.findall(NAMING_LABELS, header))
    return sorted(found)


def convention(kind, header):
    name, _, labels = header.partition("{")
    labels = "{" + labels if labels else ""
    for pattern, otel, istio in MEANINGS:
        if kind in ("otel", "istio") and (match := re.search(pattern, name)):
            name = match.expand(otel if kind == "otel" else istio)
            break
    if kind == "otel":
        names = {"service": "service_name", "node": "service_name", "caller": "client", "callee": "server", "stat": "statistic"}
    elif kind == "istio":
        names = {"node": "destination_workload", "caller": "source_workload", "callee": "destination_workload", "stat": "quantile"}
        end = {"caller": "source", "callee": "destination"}
        labels = re.sub(r'side="(\w+)"', lambda side: f'reporter="{end.get(side[1], side[1])}"', labels)
        labels = re.sub(r'service="([^"]*)"', r'namespace="prod",pod="\1-5c66d57d58-6mp2b"', labels)
    else:
        names = {"service": "app", "node": "app"}
        name = "app_" + name.removeprefix("pod_").removeprefix("app_")
    return name + re.sub(r"\b(\w+)=", lambda label: names.get(label[1], label[1]) + "=", labels)


def changed_series(kind, text, rename):
    rows = list(csv.reader(io.StringIO(text)))
    header = rows[0]
    keep = [at for at in range(len(header)) if at == 0 or kind != "drop" or chance(header[at]) > 0.3]

    def value(row, at):
        cell = row[at]
        if at == 0:
            return str(float(cell) + SHIFT_S) if kind == "shift" else cell
        if not cell:
            return cell
        if kind == "scale":
            return repr(float(cell) * 10 ** (9 * chance(header[at].split("{")[0]) - 4))
        if kind == "gaps" and chance(row[0], header[at]) < 0.1:
            return "NaN" if chance(header[at]) < 0.5 else ""
        if kind == "jitter":
            return repr(float(cell) * (1 + 0.03 * random.Random(row[0] + header[at]).gauss(0, 1)))
        return cell

    def named(selector):
        if kind in ("otel", "istio", "custom"):
            return convention(kind, selector)
        return re.sub(NAMING_LABELS, lambda found: found[1] + rename.get(found[2], found[2]) + '"', selector)

    out = io.StringIO()
    writer = csv.writer(out)
    writer.writerow([header[at] if at == 0 else named(header[at]) for at in keep])
    writer.writerows([value(row, at) for at in keep] for row in rows[1:])
    return out.getvalue()


def changed_calls(kind, text, graph):
    lines = text.split("\n")
    if kind == "halfcalls" and not lines[0].startswith(","):
        ends = lambda line: line if graph else line.split(",")[1:3]
        lines = lines[:1] + [line for line in lines[1:] if chance(ends(line)) > 0.4]
    if kind == "shift" and not graph:
        lines = lines[:1] + [re.sub(r"^\d+", lambda time: str(int(time[0]) + SHIFT_S), line) for line in lines[1:]]
    return "\n".join(lines)


def changed_case(kind, text, words):
    case = json.loads(text)
    alert = case["alert"]
    alert["startsAt"] += LATE_S.get(kind, 0) + (SHIFT_S if kind == "shift" else 0)
    for part in ("labels", "annotations"):
        alert[part] = {name: words(value) for name, value in alert[part].items()}
    if kind == "nocalls":
        case.pop("callgraph", None)
        case["faultfree"] = (case.get("faultfree") or "").split(",")[0]
    return json.dumps(case)


def later(match):
    time = datetime.datetime.strptime(match[0], "%Y-%m-%dT%H:%M:%S") + datetime.timedelta(seconds=SHIFT_S)
    return time.strftime("%Y-%m-%dT%H:%M:%S")


def perturb(kind, cases, truth, out):
    names = services(cases)
    pool = {"rename": WORDS, "hazard": HAZARDS}.get(kind)
    rename = {name: f"{pool[at % len(pool)]}-{at}" for at, name in enumerate(names)} if pool else {}
    pattern = re.compile("|".join(re.escape(name) for name in sorted(rename, key=len, reverse=True)) or "(?!)")
    words = lambda text: pattern.sub(lambda found: rename[found[0]], text)
    for path in sorted(path for path in cases.rglob("*") if path.is_file()):
        name, graph = path.name, path.name in ("callgraph.csv", "dependency.csv")
        if kind == "nocalls" and (graph or name == "edges.csv"):
            continue
        text = read(path)
        if name in ("series.csv.gz", "history.csv.gz"):
            text = changed_series(kind, text, rename)
        elif graph or name.endswith("edges.csv"):
            text = changed_calls(kind, words(text), graph)
        elif name == "case.json":
            text = changed_case(kind, text, words)
        elif name.endswith(".log.gz"):
            text = words(text)
            if kind == "shift":
                text = re.sub(r"^\d{4}-\d\d-\d\dT\d\d:\d\d:\d\d", later, text, flags=re.M)
        copy = out / kind / "cases" / path.relative_to(cases)
        copy.parent.mkdir(parents=True, exist_ok=True)
        with opened(copy, "w") as file:
            file.write(text)
    for case in truth:
        case["root_service"] = rename.get(case["root_service"], case["root_service"])
    (out / kind / "truth.json").write_text(json.dumps(truth), encoding="utf-8")


def main():
    if len(sys.argv) < 4 or not set(sys.argv[4:]) <= set(KINDS):
        sys.exit(__doc__)
    cases, truth, out = map(pathlib.Path, sys.argv[1:4])
    for kind in sys.argv[4:] or KINDS:
        perturb(kind, cases, json.loads(truth.read_text(encoding="utf-8")), out)


if __name__ == "__main__":
    main()
