/* stepkill_trace.h: the addresses that an operation executes, and the quickest way to each. */
#ifndef STEPKILL_TRACE_H
#define STEPKILL_TRACE_H

#include <stddef.h>
#include <stdint.h>

/* How often each address occurred: open addressing, never shrinks. */
struct address_counts {
    uint64_t *addresses; /* 0: free */
    uint32_t *counts;
    size_t room;
    size_t used;
};

uint32_t address_count(const struct address_counts *counts, uint64_t address);
/* Counts one more and returns how often it was counted now. */
uint32_t address_add(struct address_counts *counts, uint64_t address);
void address_close(struct address_counts *counts);

struct trace_step {
    uint64_t address;
    uint32_t hits; /* how often the address is arrived at from the base of the trace to here */
    uint32_t way;  /* from which earlier step it is stepped to; itself: by a breakpoint */
    uint32_t cost; /* of the way, in single steps */
};

/* Step 0 is the base, where the victim is stopped; step n comes n instructions later. */
struct trace {
    struct trace_step *steps;
    long length;
    long room;
};

void trace_add(struct trace *trace, uint64_t address);
/* Fills in hits, way and cost, with what it costs to arrive at a breakpoint; 0: there are none. */
void trace_plan(struct trace *trace, unsigned breakpoint_cost);
void trace_close(struct trace *trace);

#endif
