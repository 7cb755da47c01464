/* offenders.c: who has failed to authenticate too often.  See offenders.h for the invariants. */
#include "ipc/offenders.h"

#include <stddef.h>

#define SECOND ((kin_deadline)1000000000)

void kin__offenders_note(struct kin__offenders *offenders, uint64_t network, unsigned allowed,
                         kin_deadline now)
{
    size_t chosen = 0;
    if (network == 0 || allowed == UINT_MAX) return;
    for (size_t i = 0; i < KIN__OFFENDERS; i++) {
        if (offenders->place[i].network == network) {
            chosen = i;
            break;
        }
        if (offenders->place[i].until < offenders->place[chosen].until) chosen = i;
    }
    bool known = offenders->place[chosen].network == network;
    kin_deadline until = known && offenders->place[chosen].until > now ? offenders->place[chosen].until : now;
    kin_deadline most = now + ((kin_deadline)allowed + KIN__DEBT_MOST_S) * SECOND;
    offenders->place[chosen].network = network;
    offenders->place[chosen].until = until + SECOND < most ? until + SECOND : most;
}

bool kin__offenders_refuse(const struct kin__offenders *offenders, uint64_t network, unsigned allowed,
                           kin_deadline now)
{
    if (network == 0 || allowed == UINT_MAX) return false;
    for (size_t i = 0; i < KIN__OFFENDERS; i++)
        if (offenders->place[i].network == network)
            return offenders->place[i].until - now > (kin_deadline)allowed * SECOND;
    return false;
}
