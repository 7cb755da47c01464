/* os.h: everything kin asks of the operating system, a contract for each call.
 *
 * No other file makes a system call or includes a system header for one (memcpy and other
 * pure functions of libc are no system calls; so are malloc and free, wrapped at the end).
 * Unless a contract says otherwise, a function returns zero or more on success and -errno on
 * failure, restarts after EINTR, makes every descriptor close-on-exec, and is safe for
 * threads.  Each call that can fail for want of something passes kin__os_fault (fault.h) first,
 * so that a test can make the n-th one fail.
 */
#ifndef KIN_OS_H
#define KIN_OS_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>
#include <sys/types.h>

#include <kin/process.h>
#include <kin/time.h>

/* Before the definition of a function that every forked child runs: they lie together, because a child pays a
 * page fault for each stretch of code that it runs first (direct.h). */
#define KIN__CHILD_CODE __attribute__((hot))

/* ---- faults for tests -------------------------------------------------------------- */

enum kin__fault {
    KIN__FAULT_MEMORY, /* malloc, and mapping or backing memory */
    KIN__FAULT_FORK,
    KIN__FAULT_DESCRIPTOR, /* whatever makes one */
    KIN__FAULT_FILE,       /* writing, syncing, closing and renaming one */
    KIN__FAULT_OTHER,
    KIN__FAULT_KINDS
};

/* kin__os_fault_set makes, in this process, the n-th (from 1) next call of `kind`, or of any
 * kind if kind is KIN__FAULT_KINDS, fail with -error; with `sticky` all after it too.  n = 0
 * ends that.  kin__os_fault_calls returns how many such calls there were since. */
void kin__os_fault_set(enum kin__fault kind, unsigned n, int error, bool sticky);
unsigned kin__os_fault_calls(void);

/* ---- time ---------------------------------------------------------------------------- */

kin_deadline kin__os_clock(void);                /* monotonic, ns; no system call where there is a vdso */
int64_t kin__os_boot_clock(void);                /* since boot, suspended time included, ns */
int64_t kin__os_time_of_day(void);               /* since 1970, ns */
void kin__os_sleep_until(kin_deadline deadline); /* may return early after a signal */
/* That long after `from`; KIN_FOREVER when that is too late to be represented. */
static inline kin_deadline kin__later(kin_deadline from, int64_t nanoseconds)
{
    kin_deadline later;
    return __builtin_add_overflow(from, nanoseconds, &later) ? KIN_FOREVER : later;
}

/* ---- memory -------------------------------------------------------------------------- */

/* Makes an anonymous memory file of `size` bytes, sparse, sealed against shrinking and
 * growing; returns its descriptor.  SIGXFSZ is not delivered: -EFBIG. */
int kin__os_memory_create(const char *name, uint64_t size);
/* Maps `size` bytes of it, shared and without reserving memory, at exactly `address`, or
 * fails with -EEXIST where something is mapped. */
int kin__os_memory_map(int descriptor, void *address, uint64_t size);
uint64_t kin__os_memory_resident(
    void); /* of this process, what it shares with others not counted; 0: not known */
int kin__os_memory_unmap(void *address, uint64_t size);
/* Puts memory behind [offset, offset + size), so that touching it can never end in SIGBUS:
 * -ENOMEM or -ENOSPC when there is none. `address` is where that range is mapped: it serves
 * where the descriptor is of no use (descriptor < 0). */
int kin__os_memory_back(int descriptor, uint64_t offset, uint64_t size, void *address);
/* How many bytes the system and the memory groups (version 2) of this process could give at this moment,
 * swap included; UINT64_MAX if it cannot be known. */
uint64_t kin__os_memory_available(void);
/* Takes the memory behind the range away; it reads as zero once it is backed again. */
int kin__os_memory_unback(void *address, uint64_t size);
/* Faults the (backed) range into this process's page table at one go; best effort. */
void kin__os_memory_populate(void *address, uint64_t size);
/* Puts huge pages behind the range where the kernel has them and they fit; best effort. */
void kin__os_memory_make_huge(void *address, uint64_t size);
/* Zeroed memory of this process, of which there is only what is touched, whatever its size; NULL: there is
 * none.  kin__os_memory_unmap gives it back. */
void *kin__os_zeroed(uint64_t size);
/* Makes zeroed memory that this process and those forked from it later share. */
int kin__os_shared_make(void **memory, uint64_t size);
/* The identity of the file behind a descriptor, to tell whether it is still ours. */
int kin__os_file_identity(int descriptor, uint64_t *device, uint64_t *inode, uint64_t *size);
/* What RLIMIT_AS leaves for one more mapping, and RLIMIT_FSIZE for a file: UINT64_MAX for no limit. */
uint64_t kin__os_limit_address_space(void);
uint64_t kin__os_limit_file_size(void);
/* One of this process's own limits, RLIMIT_…; UINT64_MAX for none. */
int kin__os_limit(int resource, uint64_t *soft, uint64_t *hard);

/* ---- the family's identity ------------------------------------------------------------ */

int kin__os_boot_id(uint8_t id[16]);
int kin__os_pid_namespace(uint64_t *inode);

/* Fills `bytes` from the kernel's generator; waits for it only early in a boot. */
int kin__os_random(void *bytes, size_t size);

/* ---- futex (shared between processes) --------------------------------------------------- */

/* Sleeps while *word == expected, at most until `deadline`.  0 after a wake-up (which may be
 * spurious), -EAGAIN (the word has another value), -ETIMEDOUT, -EINTR. */
int kin__os_futex_wait(const _Atomic uint32_t *word, uint32_t expected, kin_deadline deadline);
/* Wakes up to `count` sleepers; returns how many. Safe in signal handlers. */
int kin__os_futex_wake(const _Atomic uint32_t *word, int count);

/* The calling thread's robust list as libc registered it: kernel and libc read and write it
 * too.  `offset` is from a list entry to its futex word. */
struct kin__robust_list {
    void *next;
    long offset;
    void *pending;
};
int kin__os_robust_list(struct kin__robust_list **head);

/* ---- threads and processes --------------------------------------------------------------- */

int kin__os_pid(void);
int kin__os_parent_pid(void);
int kin__os_thread_id(void);
int kin__os_cpu_count(void); /* by the affinity mask and the control group's quota, at least 1 */
/* The number of the n-th processor that this process may run on, beginning again after the last. */
int kin__os_cpu_usable(unsigned n);
int kin__os_cpu_here(void); /* that the calling thread is on, or has just been on */
/* The machine's name in the room, cut off if need be; "?" where there is none.  Returns `name`. */
const char *kin__os_host_name(char *name, size_t size);
int kin__os_cpus_online(void); /* of the machine, at least 1 */
void kin__os_yield(void);

/* What a part of kin does around every fork of the program, by whomever: prepare in the order of the
 * ranks, before the fork; parent and child in the opposite order, after it.  NULL: nothing.  Who holds
 * the lock of one rank while it forks holds none of a higher one. */
enum kin__fork_rank {
    KIN__FORK_LIFELINES,
    KIN__FORK_THREADS,
    KIN__FORK_NAMES,
    KIN__FORK_STACKS,
    KIN__FORK_HANDLES,
    KIN__FORK_SIGNALS,
    KIN__FORK_LOOP,
    KIN__FORK_PRIVATE,
    KIN__FORK_SERVER,
    KIN__FORK_CALLBACKS,
    KIN__FORK_MEMBERS,
    KIN__FORK_RANKS
};
struct kin__fork_watch {
    void (*prepare)(void);
    void (*parent)(void);
    void (*child)(void);
};
/* Once for each rank; `watch` stays. */
int kin__os_watch_forks(enum kin__fork_rank rank, const struct kin__fork_watch *watch);

/* fork with libc's handlers; the child gets 0. */
int kin__os_fork(void);
/* In a child with a single thread: from now on its standard input is at its end. */
void kin__os_standard_input_empty(void);
/* The system shows this process's first thread by the last part of that path. */
void kin__os_label_set(const char *path);
/* As far as libc knows, this process has no thread but the calling one. */
bool kin__os_is_alone(void);
void kin__os_exit_now(int code) __attribute__((noreturn)); /* no handlers, no flushing */
/* Kills and collects a child for which no descriptor could be had. */
void kin__os_process_abandon(int pid);
/* A descriptor for a process, readable when it has ended.  -ESRCH: no such process; -ENOSYS: there are none (of
 * children stand_in.h makes others). */
int kin__os_process_open(int pid);
/* The same for a thread, where the kernel knows that (from 6.9 on); elsewhere for its process. */
int kin__os_thread_open(int thread, int pid);
/* 0 also for a zombie; -ESRCH after it was collected. */
int kin__os_process_signal(int process_descriptor, int signal);
/* Waits until it has ended, at most until `deadline`; what else could fail ends the wait too. */
void kin__os_process_await(int process_descriptor, kin_deadline deadline);
/* Has it ended?  Does not wait; also for a process that is no child. */
bool kin__os_process_ended(int process_descriptor);
/* Is the process of that pid, which existed at `since` (boot clock), gone?  1 also for a
 * zombie and when the pid names a later process.  0 when in doubt. */
int kin__os_process_gone(int pid, int64_t since);
/* How the process of that pid ended, or is just ending, as far as the system still knows: its kind
 * is KIN_RUNNING when it does neither, and KIN_UNKNOWN when it has been collected. */
void kin__os_process_end(int pid, kin_exit_status *status);
/* The name of a thread as the system shows it; empty when there is no such thread. */
void kin__os_thread_label(int pid, int thread, char *name, size_t size);
/* Collects the status of a child that has ended.  0: `*status` is set; -EAGAIN: it runs;
 * -ECHILD: somebody else has collected it and the kernel cannot tell any more (where the
 * kernel can, by PIDFD_GET_INFO, the status comes from there). */
int kin__os_process_collect(int process_descriptor, kin_exit_status *status);
/* How the calling process was killed for memory cannot be seen from outside: counts of
 * oom kills in our memory cgroup, or -ENOENT. */
int64_t kin__os_oom_kills(void);

/* Ctrl-C at the terminal is not for this process: its parent decides. */
void kin__os_interrupt_ignore(void);
/* "SIGKILL" for 9; static or the calling thread's until its next call. */
/* Installs a handler, which may be one for the whole process, and lets the signal through in the calling thread. */
void kin__os_signal_handle(int signal, void (*handler)(int signal));
const char *kin__os_signal_name(int signal);

/* ---- lifelines: a child is killed by the kernel when its parent is gone --------------------- */

/* Makes a line and returns the end that the parent alone holds.  Once its last copy is closed
 * the kernel sends the signal to every process that holds the line. */
int kin__os_lifeline_make(void);
/* The parent's side, before a fork: makes what one child will hold, armed with `signal`.  Does
 * all that can fail.  Needs /proc: -ENOENT. */
int kin__os_lifeline_open(int line, int signal);
/* The child's side, after the fork, with its copy of the parent's end closed: from now on the
 * calling process is the one that gets the signal, as long as `own` stays open.  Takes no
 * thread and no handler.  -EPIPE when the parent is gone already. */
int kin__os_lifeline_hold(int own);
/* From now on it is another signal.  -EPIPE when the parent is gone already. */
int kin__os_lifeline_signal(int own, int signal);

/* ---- descriptors ------------------------------------------------------------------------------- */

int kin__os_close(int descriptor);
int kin__os_set_inherit(int descriptor, bool inherit);
struct kin__poll {
    int descriptor; /* < 0: not looked at */
    bool write;     /* looked at for room to write, not for something to read */
    bool ready;     /* out: it is, or hung up */
};
/* Waits until one of them is ready; returns how many are, 0 at the deadline, -EINTR; in a coroutine,
 * which lets others run meanwhile, also -ECANCELED. */
int kin__os_poll(struct kin__poll *items, size_t count, kin_deadline deadline);
/* The same for one descriptor, and the thread waits, not the coroutine. */
int kin__os_await(int descriptor, bool write, kin_deadline deadline);
int kin__os_event_make(void);          /* an eventfd, not blocking */
int kin__os_event_set(int descriptor); /* adds one; safe in signal handlers */
int kin__os_event_clear(int descriptor);

/* ---- bells: waking a process that waits for descriptors, without having one of its -------------- */

/* Makes a bell of that name (at most 100 bytes): readable once somebody has rung it.  -EADDRINUSE. */
int kin__os_bell_make(const char *name);
/* Rings it, if it is there.  Takes a descriptor for a moment, and does nothing when there is none:
 * who waits for bells also looks by himself now and then.  Safe in signal handlers. */
void kin__os_bell_ring(const char *name);
void kin__os_bell_silence(int bell);

/* ---- the private heap ------------------------------------------------------------------------------- */

void *kin__os_malloc(size_t size); /* NULL when there is none */
void *kin__os_calloc(size_t count, size_t size);
void *kin__os_realloc(void *memory, size_t size); /* NULL: none, and `memory` stays */
/* 16 bytes that others cannot guess and that stay the same in this process and its forks. */
void kin__os_secret(uint64_t secret[2]);
void kin__os_free(void *memory);
/* Overwrites what must not be left in memory that is freed. */
void kin__os_forget(void *secret, size_t size);
char *kin__os_copy(const char *text); /* as strdup */
/* Flushes stdio's output streams, before a fork.  In a program with threads only stdout and
 * stderr: another thread may hold any other for as long as it is blocked in it. */
void kin__os_flush(void);
/* Flushes all of them at the end of a process, without waiting for any lock. */
void kin__os_flush_last(void);

#endif
