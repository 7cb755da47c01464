/* map.h: a map, as its caller and its workers see it; see map.c. */
#ifndef KIN_POOL_MAP_H
#define KIN_POOL_MAP_H

#include "pool/pool.h"

/* A span: first unit (26 bits), units on the way (11), parity (1), end (26). */
#define KIN__UNIT_BITS  26
#define KIN__BUSY_BITS  11
#define KIN__UNITS_MOST (((uint64_t)1 << KIN__UNIT_BITS) - 1)
#define KIN__BUSY_MOST  (((uint64_t)1 << KIN__BUSY_BITS) - 1)

/* Of a map that is ended the items that run get so long to finish; then their workers are killed. */
#define KIN__MAP_GRACE_NS (50 * 1000000LL)

struct kin__span {
    uint64_t first, busy, parity, end;
};

static inline struct kin__span kin__span_unpack(uint64_t word)
{
    return (struct kin__span){
        .first = word & KIN__UNITS_MOST,
        .busy = word >> KIN__UNIT_BITS & KIN__BUSY_MOST,
        .parity = word >> (KIN__UNIT_BITS + KIN__BUSY_BITS) & 1,
        .end = word >> (KIN__UNIT_BITS + KIN__BUSY_BITS + 1),
    };
}

static inline uint64_t kin__span_pack(struct kin__span span)
{
    return span.first | span.busy << KIN__UNIT_BITS | span.parity << (KIN__UNIT_BITS + KIN__BUSY_BITS) |
           span.end << (KIN__UNIT_BITS + KIN__BUSY_BITS + 1);
}

/* SHARED, in the argument block of the job's record, followed by the parts' addresses, the
 * failures and, where the caller's arrays are not family memory, copies of them.
 *   range … part   constant once the parts are queued.
 *   cancel     0 → 1 by the caller, a worker that saw a failure, or the supervisor.
 *   unwanted   since when nobody waits for it, and the grace; 0: somebody does.  By the supervisor.
 *   thief, victim, middle, end   the note of a theft: written under the latch, thief last, and taken away first.  Read
 *              without it only for a thief's part that nobody is on: then only who finishes the theft writes, and only
 *              thief, after the thief's span (seq_cst all; see is_idle and lost).
 *   latch      of the note of a theft and of the failures. */
struct kin__map {
    kin_result *job;
    kin_range_function *range;
    kin_range_function *pure; /* NULL: none */
    kin_zip_function *zip;
    unsigned inputs; /* of zip, else 1 */
    const char *in[KIN_INPUTS_MOST];
    size_t in_size[KIN_INPUTS_MOST];
    char *out;
    size_t out_size;
    uint64_t count, unit, chunk;
    bool keep_going;
    unsigned attempts;
    uint32_t parts, parts_most;
    kin_result **part;
    _Atomic uint32_t cancel;
    kin_deadline unwanted;
    struct kin__latch latch;
    _Atomic(kin_result *) thief, victim;
    _Atomic uint64_t middle, end;
    kin_failure *failure;
    uint64_t failures_most, failures;
    _Atomic uint64_t failed;
};

/* The first item of a unit; units beyond the end begin there. */
static inline uint64_t kin__map_item(const struct kin__map *map, uint64_t unit)
{
    uint64_t item = unit * map->unit;
    return item < map->count ? item : map->count;
}

/* Are all parts over?  Makes those over that need not be run. */
bool kin__map_all_over(struct kin__map *map);
/* How many items failed, or were not run; all parts are over. */
uint64_t kin__map_failed(struct kin__map *map);
/* How many items are done. */
uint64_t kin__map_done(struct kin__map *map);
void kin__map_free(struct kin__map *map);

#endif
