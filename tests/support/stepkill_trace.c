/* stepkill_trace.c: see stepkill_trace.h. */
#include "stepkill_trace.h"

#include <errno.h>
#include <stdlib.h>
#include <string.h>

#include "test.h"

static size_t slot_of(const struct address_counts *counts, uint64_t address)
{
    size_t slot = (size_t)((address * 0x9e3779b97f4a7c15u) >> 20) & (counts->room - 1);
    while (counts->addresses[slot] && counts->addresses[slot] != address)
        slot = (slot + 1) & (counts->room - 1);
    return slot;
}

static void grow(struct address_counts *counts)
{
    struct address_counts more = {.room = counts->room ? 2 * counts->room : 4096, .used = counts->used};
    more.addresses = calloc(more.room, sizeof(*more.addresses));
    more.counts = calloc(more.room, sizeof(*more.counts));
    if (!more.addresses || !more.counts) FAIL("no memory for %zu addresses", more.room);
    for (size_t i = 0; i < counts->room; i++) {
        if (!counts->addresses[i]) continue;
        size_t slot = slot_of(&more, counts->addresses[i]);
        more.addresses[slot] = counts->addresses[i];
        more.counts[slot] = counts->counts[i];
    }
    address_close(counts);
    *counts = more;
}

uint32_t address_count(const struct address_counts *counts, uint64_t address)
{
    return counts->room ? counts->counts[slot_of(counts, address)] : 0;
}

uint32_t address_add(struct address_counts *counts, uint64_t address)
{
    if (2 * counts->used >= counts->room) grow(counts);
    size_t slot = slot_of(counts, address);
    counts->used += counts->addresses[slot] == 0;
    counts->addresses[slot] = address;
    return ++counts->counts[slot];
}

void address_close(struct address_counts *counts)
{
    free(counts->addresses);
    free(counts->counts);
    memset(counts, 0, sizeof(*counts));
}

void trace_add(struct trace *trace, uint64_t address)
{
    if (trace->length == trace->room) {
        trace->room = trace->room ? 2 * trace->room : 4096;
        struct trace_step *steps = realloc(trace->steps, (size_t)trace->room * sizeof(*steps));
        if (!steps) FAIL("no memory for a trace of %ld steps", trace->room);
        trace->steps = steps;
    }
    trace->steps[trace->length++] = (struct trace_step){.address = address};
}

void trace_plan(struct trace *trace, unsigned breakpoint_cost)
{
    struct address_counts counts = {0};
    for (long n = 0; n < trace->length; n++) {
        struct trace_step *step = &trace->steps[n];
        if (n == 0) {
            step->way = 0; /* already there */
            continue;
        }
        /* A repeated string instruction stops at every repetition, but is arrived at once. */
        bool arrived = step->address != trace->steps[n - 1].address;
        step->hits = arrived ? address_add(&counts, step->address) : trace->steps[n - 1].hits;
        step->cost = trace->steps[n - 1].cost + 1;
        step->way = (uint32_t)(n - 1);
        if (breakpoint_cost > 0 && arrived && step->hits * breakpoint_cost < step->cost) {
            step->cost = step->hits * breakpoint_cost;
            step->way = (uint32_t)n;
        }
    }
    address_close(&counts);
}

void trace_close(struct trace *trace)
{
    free(trace->steps);
    memset(trace, 0, sizeof(*trace));
}
