"""Runs a contender in Python as the words KEY=VALUE of the command line say, and prints one line of JSON; see the harness
in Rust, which this follows."""

import json
import resource
import sys
import threading
import time

METADATA = {"request_id": "0f8fad5b-d9cb-469f-a165-70867728950e", "ip": "203.0.113.7", "path": "/graphql/"}


def case():
    """What the command line says."""
    said = {"producers": "1", "events": "100000", "pace": "full", "timed": "0"}
    said.update(word.split("=", 1) for word in sys.argv[1:] if "=" in word)
    return said


def drive(said, record, finish):
    """Calls `record` for each event, then `finish`, which returns when everything is written."""
    producers, timed = int(said["producers"]), said["timed"] == "1"
    each = int(said["events"]) // producers
    rate = 0 if said["pace"] == "full" else float(said["pace"].split(":")[1])
    durations = [[] for _ in range(producers)]
    cpu, started = time.process_time(), time.perf_counter_ns()

    def produce(number):
        clock, took = time.perf_counter_ns, durations[number]
        period = 1e9 * producers / rate if rate else 0
        for event in range(each):
            if period:
                due = started + period * (event + number / producers)
                while clock() < due:
                    time.sleep(0)  # no pause: lets the other threads have the interpreter
            if timed:
                begin = clock()
                record()
                took.append(clock() - begin)
            else:
                record()

    threads = [threading.Thread(target=produce, args=(number,)) for number in range(producers)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    finish()
    seconds = (time.perf_counter_ns() - started) / 1e9
    used = time.process_time() - cpu
    latency, every = None, sorted(duration for some in durations for duration in some)
    if every:
        at = lambda quantile: every[min(len(every) - 1, int(quantile * len(every)))]
        latency = {"p50": at(0.5), "p99": at(0.99), "p999": at(0.999), "max": every[-1]}
    peak = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss
    print(json.dumps({"events": each * producers, "seconds": seconds, "cpu_seconds": used, "peak_kib": peak, "latency": latency}))
