/* signals.h: receiving signals in a descriptor, a contract for each call; see os.h for what holds for all.
 *
 * Sets of signals are bits: 1 << (number - 1). */
#ifndef KIN_OS_SIGNALS_H
#define KIN_OS_SIGNALS_H

#include <stdint.h>

#include <kin/signals.h>

/* Blocks the signals in the calling thread, stores which of them were not blocked before in `*blocked`, and
 * returns a descriptor that is readable when one has come.  -EINVAL: one that cannot be received so. */
int kin__os_signals_make(uint64_t signals, uint64_t *blocked);
/* Takes one that has come: -EAGAIN, there is none. */
int kin__os_signals_take(int descriptor, kin_signal *signal);
/* The calling thread no longer blocks them. */
void kin__os_signals_unblock(uint64_t signals);
/* Queues a signal, with a value, for a process or for the one behind a descriptor.  -EINVAL, -ESRCH, -EPERM,
 * -EAGAIN (too many are queued). */
int kin__os_signal_queue(int pid, int number, void *value);
int kin__os_process_queue(int process_descriptor, int number, void *value);

#endif
