/* offenders.h: which networks have failed to authenticate too often, and for how long they are turned away.
 *
 * Invariants:
 *  - A failure is a debt of one second, which time pays off.  Who owes more than it is allowed is turned away
 *    until it does not; nobody owes more than KIN__DEBT_MOST_S beyond that.
 *  - What is remembered has one size, however many there are; the one who owes least is forgotten first.
 *
 * One who knows no key and tries once a second is never turned away, nor is an honest one at the same address;
 * a crowd is, at the cost of one accept each.  (OpenSSH's sshd does the same by PerSourcePenalties.)
 */
#ifndef KIN_IPC_OFFENDERS_H
#define KIN_IPC_OFFENDERS_H

#include <errno.h>
#include <limits.h>
#include <stdbool.h>
#include <stdint.h>

#include <kin/error.h>
#include <kin/time.h>

enum { KIN__OFFENDERS = 64, KIN__FAILURES_DEFAULT = 10, KIN__DEBT_MOST_S = 60 };

/* Private memory; under the lock of what it belongs to.  All zero: nobody has failed.
 *   network   as kin__os_address_network has it; 0: the place is free.
 *   until     when its debt will be paid. */
struct kin__offenders {
    struct {
        uint64_t network;
        kin_deadline until;
    } place[KIN__OFFENDERS];
};

/* Is that error of a handshake our own, and not the fault of who wanted in? */
static inline bool kin__is_our_failure(int rc)
{
    return rc == -ENOMEM || rc == KIN_ELIBRARY;
}

/* Whoever is of the network 0 does not count.  `allowed`: failures in one go, UINT_MAX: any number. */
void kin__offenders_note(struct kin__offenders *offenders, uint64_t network, unsigned allowed,
                         kin_deadline now);
bool kin__offenders_refuse(const struct kin__offenders *offenders, uint64_t network, unsigned allowed,
                           kin_deadline now);

#endif
