/* look.h: two looks at the families, one after the other, and how fast things went between them. */
#ifndef LOOK_H
#define LOOK_H

#include <stddef.h>
#include <stdint.h>

#include <kin/inspect.h>

struct looks {
    kin_inspection *before; /* NULL: there was none */
    kin_inspection *now;
};

/* What makes a number of a thing's two states grow, such as the messages put into a queue. */
struct queue_rates {
    double put, got; /* messages per second; negative: not known */
};

/* Makes now before, and looks again: 0, or an error of kin_inspect. */
int look_again(struct looks *looks, const kin_inspect_options *options);
void looks_free(struct looks *looks);

/* How fast a thing of the family `index` of the present look went since the one before; negative where
 * that is not known.  Processor time: processors used. */
double process_rate(const struct looks *looks, size_t index, const kin_inspected_process *now);
double pool_rate(const struct looks *looks, size_t index, const kin_inspected_pool *now);
struct queue_rates queue_rates(const struct looks *looks, size_t index, const kin_inspected_queue *now);

/* "message of queue", for what a thread waits for. */
const char *waits_text(enum kin_waits waits);
const char *kind_text(enum kin_inspected_kind kind);
const char *state_text(enum kin_inspected_state state);
/* "signaled" for KIN_CAUSE_SIGNALED. */
const char *cause_name(int cause);

#endif
