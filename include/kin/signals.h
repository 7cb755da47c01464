/* kin/signals.h: signals as messages: they are received like those of a queue, with the sender's pid and a
 * value, and no handler runs.
 *
 *     kin_signals *signals = NULL;
 *     int rc = kin_signals_open(&signals, (int[]){SIGUSR1, SIGTERM}, 2);
 *     …
 *     kin_signal got;
 *     rc = kin_signals_get(signals, &got, kin_in_s(5));
 *     if (rc == 0 && got.number == SIGTERM) …
 *
 * A signal comes to a descriptor only while no thread lets it through: so it is blocked.
 * kin_signals_open does that in the calling thread; threads started later have it from there, those that
 * run already have to block it themselves (pthread_sigmask) beforehand, or else it goes to them and does what it
 * always did.  Open a receiver first, and threads afterwards.
 *
 * A receiver belongs to the process that opened it.  A child of it, however it is forked, blocks in its
 * first thread what it would block without, and has no receiver; programs that kin starts block nothing. */
#ifndef KIN_SIGNALS_H
#define KIN_SIGNALS_H

#include <stdbool.h>
#include <stddef.h>

#include <kin/process.h>
#include <kin/time.h>

KIN_BEGIN

typedef struct kin_signals kin_signals;

typedef struct kin_signal {
    int number;
    int pid; /* of the sender, as this process sees it; 0: the kernel, or a process it does not see */
    unsigned uid;
    bool queued;   /* it came with a value: by kin_signal_send, sigqueue and their like */
    int value;     /* the value, as a number */
    void *pointer; /* the same, as a pointer: between processes of a family it means the same */
} kin_signal;

/* kin_signals_open begins to receive `count` signals, whose numbers are in `numbers`, and stores the receiver in
 * `*signals`.  It blocks them in the calling thread; what is pending already is received too.  Does not block.
 * Safe for threads.
 * Errors, after which nothing has changed: -EINVAL (NULL, none, no such signal, or one that cannot be
 * received: SIGKILL, SIGSTOP, and those of a thread's own mistakes, such as SIGSEGV), -EBUSY (another receiver of
 * this process has one of them), -EMFILE, -ENFILE, -ENOMEM. */
KIN_API int kin_signals_open(kin_signals **signals, const int *numbers, size_t count);

/* kin_signals_get takes the next signal and stores it in `*signal`, waiting until `deadline` while there is none.
 * Those from SIGRTMIN on are kept, each, in the order in which they came (lower numbers first); of the others
 * one of a number is kept, and those that come before it is taken are lost, as always.  Safe for threads; not for
 * signal handlers.
 * Errors: -ETIMEDOUT, -EINVAL (NULL), KIN_EPRIVATE (another process's). */
KIN_API int kin_signals_get(kin_signals *signals, kin_signal *signal, kin_deadline deadline);

/* kin_signals_fileno returns a descriptor, the receiver's, that is readable when there is a signal.  Does not
 * block.  Errors: -EINVAL (NULL), KIN_EPRIVATE. */
KIN_API int kin_signals_fileno(const kin_signals *signals);

/* kin_signals_close ends it and frees the receiver, which no other thread uses any more.  Signals that were not
 * taken are dropped; in the thread that opened it those are let through again that were before, and do what
 * they always did.  Another thread that closes it leaves all masks alone.  NULL is allowed.  Does not block.
 * Errors: none. */
KIN_API int kin_signals_close(kin_signals *signals);

/* kin_signal_send sends a signal with a value to a process, of any program; kin_process_send_signal to a child,
 * which is never mistaken for another that has got its pid.  The receiver sees `value` in kin_signal.pointer, and
 * its lower half in kin_signal.value.  Do not block.  Safe for threads and signal handlers.
 * Errors: -EINVAL (NULL, pid below 1, no such signal), -ESRCH (no such process, or it has ended), -EPERM (another
 * user's), -EAGAIN (too many signals are queued for its user), KIN_ENOTCHILD. */
KIN_API int kin_signal_send(int pid, int number, void *value);
KIN_API int kin_process_send_signal(kin_process *process, int number, void *value);

KIN_END
#endif
