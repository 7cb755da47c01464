"""Reads OpenMetrics text from standard input and exits with 0 if it keeps the rules of the format.

Checked, beyond the form of each line: every sample stands behind the description of its metric and
beside the others of it, its suffix is one that the type has, the unit ends the name, no two samples
have the same labels, the buckets of a histogram grow and end with +Inf, counters are not negative, and
the last line is # EOF.
"""
import re
import sys

SUFFIXES = {"counter": ["_total"], "gauge": [""], "info": ["_info"], "histogram": ["_bucket"]}
NAME = r"[a-zA-Z_:][a-zA-Z0-9_:]*"
LABEL = re.compile(r'([a-zA-Z_][a-zA-Z0-9_]*)="((?:[^"\\\n]|\\[\\"n])*)"')
SAMPLE = re.compile(r"(%s)\{((?:[^\"}]|\"(?:[^\"\\]|\\.)*\")*)\} (\S+)" % NAME)


def fail(number, line, why):
    sys.exit("line %d: %s: %s" % (number, why, line))


def read_labels(text):
    labels, end = {}, 0
    while end < len(text):
        found = LABEL.match(text, end)
        if not found or found.group(1) in labels:
            return None
        labels[found.group(1)] = found.group(2)
        end = found.end()
        if end < len(text):
            if text[end] != "," or end + 1 == len(text):
                return None
            end += 1
    return labels


text = sys.stdin.buffer.read().decode("utf-8")
lines = text.split("\n")
if lines[-2:] != ["# EOF", ""]:
    sys.exit("the last line is not # EOF")
name, kind, seen_names, seen_samples, bucket = None, None, set(), set(), None
for number, line in enumerate(lines[:-2], 1):
    if line.startswith("# TYPE "):
        found = re.fullmatch(r"# TYPE (%s) (counter|gauge|info|histogram)" % NAME, line)
        if not found or found.group(1) in seen_names:
            fail(number, line, "not a type, or a second one")
        name, kind = found.groups()
        seen_names.add(name)
        continue
    if line.startswith("# UNIT ") or line.startswith("# HELP "):
        found = re.fullmatch(r"# (UNIT|HELP) (%s) (.+)" % NAME, line)
        if not found or found.group(2) != name:
            fail(number, line, "not of this metric")
        if found.group(1) == "UNIT" and not name.endswith("_" + found.group(3)):
            fail(number, line, "the name lacks its unit")
        continue
    found = SAMPLE.fullmatch(line)
    if not found or name is None:
        fail(number, line, "not a sample")
    labels, value = read_labels(found.group(2)), float(found.group(3))
    if labels is None:
        fail(number, line, "not a list of labels")
    if found.group(1) not in [name + suffix for suffix in SUFFIXES[kind]]:
        fail(number, line, "not a sample of a %s %s" % (kind, name))
    key = (found.group(1), tuple(sorted(labels.items())))
    if key in seen_samples:
        fail(number, line, "twice")
    seen_samples.add(key)
    if kind != "gauge" and value < 0 or kind == "info" and value != 1:
        fail(number, line, "not a value of a %s" % kind)
    if kind == "histogram":
        bound = float(labels.pop("le"))
        now = (tuple(sorted(labels.items())), bound, value)
        if bucket is not None and (bucket[0] != now[0] or bucket[1] >= bound or bucket[2] > value):
            fail(number, line, "buckets do not grow")
        bucket = None if bound == float("inf") else now
    elif bucket is not None:
        fail(number, line, "the last bucket is missing")
print(len(seen_samples))
