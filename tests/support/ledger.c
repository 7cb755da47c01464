/* ledger.c: exact accounts of messages; see chaos.h. */
#include <stdatomic.h>
#include <string.h>

#include "chaos.h"
#include "test.h"

struct producer_account {
    _Atomic uint64_t next;
    _Atomic uint64_t last_seen; /* the number after the highest one seen in order */
    _Atomic uint8_t *acknowledged;
    _Atomic uint8_t *seen;
};

struct ledger {
    unsigned producers;
    uint64_t limit;
    _Atomic uint64_t out_of_order;
    _Atomic uint64_t corrupt;
    struct producer_account accounts[];
};

struct ledger *ledger_open(unsigned producers, uint64_t limit)
{
    struct ledger *ledger = test_shared(sizeof(*ledger) + producers * sizeof(ledger->accounts[0]));
    ledger->producers = producers;
    ledger->limit = limit;
    for (unsigned i = 0; i < producers; i++) {
        ledger->accounts[i].acknowledged = test_shared(limit);
        ledger->accounts[i].seen = test_shared(limit);
    }
    return ledger;
}

uint64_t ledger_issue(struct ledger *ledger, unsigned producer)
{
    uint64_t number = atomic_fetch_add(&ledger->accounts[producer].next, 1);
    if (number >= ledger->limit)
        FAIL("the ledger has room for %llu numbers only", (unsigned long long)ledger->limit);
    return number;
}

bool ledger_is_full(const struct ledger *ledger, unsigned producer)
{
    return atomic_load(&ledger->accounts[producer].next) + 64 >= ledger->limit;
}

void ledger_acknowledge(struct ledger *ledger, unsigned producer, uint64_t number)
{
    atomic_store(&ledger->accounts[producer].acknowledged[number], 1);
}

void ledger_see(struct ledger *ledger, unsigned producer, uint64_t number, bool ordered)
{
    if (producer >= ledger->producers || number >= atomic_load(&ledger->accounts[producer].next) ||
        number >= ledger->limit) {
        atomic_fetch_add(&ledger->corrupt, 1);
        return;
    }
    struct producer_account *account = &ledger->accounts[producer];
    /* Stays at 255, which is as wrong as 256. */
    if (atomic_load(&account->seen[number]) < UINT8_MAX) atomic_fetch_add(&account->seen[number], 1);
    if (!ordered) return;
    /* The last one again is a duplicate, not out of order. */
    if (number + 1 < atomic_load(&account->last_seen)) {
        atomic_fetch_add(&ledger->out_of_order, 1);
    } else {
        atomic_store(&account->last_seen, number + 1);
    }
}

struct ledger_account ledger_account(const struct ledger *ledger)
{
    struct ledger_account total = {.out_of_order = atomic_load(&ledger->out_of_order),
                                   .corrupt = atomic_load(&ledger->corrupt)};
    for (unsigned i = 0; i < ledger->producers; i++) {
        const struct producer_account *account = &ledger->accounts[i];
        uint64_t issued = atomic_load(&account->next);
        if (issued > ledger->limit) issued = ledger->limit;
        total.issued += issued;
        for (uint64_t number = 0; number < issued; number++) {
            bool acknowledged = atomic_load(&account->acknowledged[number]);
            unsigned seen = atomic_load(&account->seen[number]);
            total.acknowledged += acknowledged;
            total.lost += acknowledged && seen == 0;
            total.seen_unacknowledged += !acknowledged && seen > 0;
            if (seen > 1) total.duplicated += seen - 1;
        }
    }
    return total;
}
