/* chaos.h: keeps processes running, kills one at random again and again, and keeps accounts.
 *
 *     static void produce(void *context, unsigned index)
 *     {
 *         while (!chaos_stopping()) {
 *             uint64_t number = ledger_issue(ledger, index);
 *             …put (index, number) into the queue…
 *             ledger_acknowledge(ledger, index, number);
 *             chaos_progress();
 *         }
 *     }
 *     static void consume(void *context, unsigned index) { …get, ledger_see, chaos_progress… }
 *     …
 *     struct chaos_report report = chaos(&(struct chaos){
 *         .roles = {{"producer", 2, produce}, {"consumer", 2, consume}}, .kills = 100000});
 *     …drain the queue with ledger_see…
 *     struct ledger_account account = ledger_account(ledger);
 *     CHECK_LE(account.lost, report.killed[1]);    // got by a consumer that then died
 *
 * Every role is a function that runs in processes of its own until chaos_stopping.  One that
 * returns before that, or dies of anything but the killer, fails the case; so does a time of
 * hang_seconds in which nobody made progress.
 */
#ifndef CHAOS_H
#define CHAOS_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>
#include <sys/types.h>

#define CHAOS_ROLES_MOST 8

struct chaos_role {
    const char *name;
    unsigned count;                             /* processes of this role */
    void (*run)(void *context, unsigned index); /* index: below count */
};

struct chaos {
    struct chaos_role roles[CHAOS_ROLES_MOST]; /* up to the first without `run` */
    void *context;
    long kills;
    double seconds;      /* it ends at the latest after this time; 0: when all kills are done */
    unsigned delay_us;   /* between kills at most; 0: 150 */
    double hang_seconds; /* 0: 5, four times that under sanitizers */
    uint64_t seed;       /* 0: from the clock; the note says which */
    bool (*may_kill)(void *context, unsigned role, unsigned index); /* NULL: all */
    void (*after_kill)(void *context, unsigned role, pid_t victim); /* it is gone and collected */
    void (*dump)(void *context); /* prints the state when nobody makes progress */
};

struct chaos_report {
    long kills;
    long killed[CHAOS_ROLES_MOST]; /* by role */
    uint64_t progress;             /* calls of chaos_progress */
    double seconds;
    double worst_stall_ms; /* the longest time without progress, as seen at the kills */
};

struct chaos_report chaos(const struct chaos *plan);

/* In a role's process: whether to end, and that something was achieved. */
bool chaos_stopping(void);
void chaos_progress(void);

/* A small generator (xorshift), for whoever needs numbers that a seed repeats. */
uint64_t chaos_random(uint64_t *state);

/* ---- exact accounts ---------------------------------------------------------------------- */

/* Per producer and number one byte each: was it acknowledged, how often was it seen.  Lives in
 * memory that all processes share and that no kill can corrupt: every entry is one store or
 * one atomic addition.  Numbers count from 0. */
struct ledger;

struct ledger_account {
    uint64_t issued;
    uint64_t acknowledged;
    uint64_t lost;                /* acknowledged and never seen */
    uint64_t duplicated;          /* sightings beyond the first */
    uint64_t seen_unacknowledged; /* the producer died between commit and acknowledgement */
    uint64_t out_of_order;        /* seen after a later number of the same producer */
    uint64_t corrupt;             /* ledger_see with a producer or number that was not issued */
};

struct ledger *ledger_open(unsigned producers, uint64_t limit);
/* The next number of that producer; its processes may die with one issued and not used.  Fails
 * the case at the limit. */
uint64_t ledger_issue(struct ledger *ledger, unsigned producer);
/* Whether `limit` is near, so that a role can stop issuing. */
bool ledger_is_full(const struct ledger *ledger, unsigned producer);
void ledger_acknowledge(struct ledger *ledger, unsigned producer, uint64_t number);
/* `ordered`: whether the caller sees all messages in the order of the queue, as under a lock or
 * as the only consumer; then a number below the last one is out of order. */
void ledger_see(struct ledger *ledger, unsigned producer, uint64_t number, bool ordered);
struct ledger_account ledger_account(const struct ledger *ledger);

#endif
